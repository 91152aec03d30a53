package fhir

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"waybill/partner/format/record"
)

// parameters are what a message of US vital records says about its certificate.
type parameters struct{ all []parameter }

type parameter struct {
	Name             string         `json:"name"`
	ValueString      string         `json:"valueString"`
	ValueUnsignedInt *int           `json:"valueUnsignedInt"`
	ValuePositiveInt *int           `json:"valuePositiveInt"`
	ValueInteger     *int           `json:"valueInteger"`
	Resource         jsontext.Value `json:"resource"`
	Part             []parameter    `json:"part"`
}

func (p parameter) hasResource() bool {
	return p.Resource != nil || slices.ContainsFunc(p.Part, parameter.hasResource)
}

func (p *parameters) text(name string) string {
	for _, one := range p.all {
		if one.Name == name {
			return one.ValueString
		}
	}
	return ""
}

func (p *parameters) number(name string) int {
	for _, one := range p.all {
		if one.Name != name {
			continue
		}
		for _, value := range []*int{one.ValueUnsignedInt, one.ValuePositiveInt, one.ValueInteger} {
			if value != nil {
				return *value
			}
		}
	}
	return 0
}

// certificate returns the number of the nth certificate that is meant.
func (p *parameters) certificate(nth int) string {
	return fmt.Sprintf("%04d%s%06d", p.number("death_year"), p.text("jurisdiction_id"), p.number("cert_no")+nth)
}

// settleMessage acts on a message's event. If done is true, the message's content is not read.
func (b *bundle) settleMessage() (done bool, err error) {
	if b.kind != "message" {
		return false, nil
	}
	if b.parameters != nil {
		b.number(b.parameters.certificate(0))
	}
	event, ours := strings.CutPrefix(b.event, nchs)
	switch {
	case b.event == "":
		return true, errors.New("a message without an event (MessageHeader.eventUri)")
	case !ours, event == "vrdr_submission", event == "vrdr_submission_update":
		return false, nil
	case event == "vrdr_submission_void":
		return true, b.void()
	case isAnswer(event):
		return true, b.hand(record.Record{Where: b.span, Act: record.Pass}, nil)
	}
	return true, errors.New("a message whose event is not read: only vrdr_submission, vrdr_submission_update and vrdr_submission_void are")
}

// isAnswer reports whether a message states no death: an answer of the registrar, or further names (alias).
func isAnswer(event string) bool {
	switch strings.TrimSuffix(event, "_update") {
	case "vrdr_acknowledgement", "vrdr_extraction_error", "vrdr_status", "vrdr_coding", "vrdr_causeofdeath_coding",
		"vrdr_demographics_coding", "vrdr_industryoccupation_coding", "vrdr_alias":
		return true
	}
	return false
}

const maxVoided = 10_000

// void takes back the deaths of the certificates that a message names.
func (b *bundle) void() error {
	count := 1
	if b.parameters != nil {
		count = max(count, b.parameters.number("block_count"))
	}
	if len(b.numbers) == 0 || count > maxVoided {
		return fmt.Errorf("a void must name its certificate by death_year, jurisdiction_id and cert_no, and at most %d of them by block_count", maxVoided)
	}
	for i := range count {
		own := record.Identifier{Authority: certificates, Value: b.parameters.certificate(i)}
		r := record.Record{Where: b.span, Key: own, Identifiers: []record.Identifier{own}, Death: record.Death{Status: record.Void}}
		b.timed(&r)
		if err := r.Finish(&b.site); err != nil {
			return err
		}
		if err := b.hand(r, nil); err != nil {
			return err
		}
	}
	return nil
}
