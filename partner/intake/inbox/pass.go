package inbox

import (
	"context"
	"errors"
	"iter"

	"waybill/partner/format/record"
	"waybill/partner/intake/register"
)

// item is a record of a file, as one pass over it sees it.
type item struct {
	record.Record
	refused *record.Refused // nil: it can be taken
	message int64           // the place of its message in the file, from 1; 0: the format has no messages
	opens   bool            // it is the first record of its message
}

// pass reads the file once and yields all records, refused ones too. An error ends the file.
func (l *loading) pass(ctx context.Context) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		reading, err := l.Settings.Format.Open("the file", l.Settings.Source, l.now, l.file)
		if err != nil {
			yield(item{}, err)
			return
		}
		var messages int64
		var last *record.Message
		for r, err := range reading.All() {
			it := item{Record: r}
			if why, is := errors.AsType[*record.Refused](err); is {
				it.Where, it.Message, it.refused, err = why.Where, why.Message, why, nil
			}
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(it, err)
				return
			}
			if l.Settings.Format.HasMessages() {
				if it.opens = it.Message == nil || it.Message != last; it.opens {
					messages, last = messages+1, it.Message
				}
				it.message = messages
			}
			if !yield(it, nil) {
				return
			}
		}
		l.result.Warnings = reading.Warnings()
	}
}

// head is what the register keeps of the item's message, and how the message is acknowledged so far.
func (it *item) head() register.Message {
	head := register.Message{N: it.message, Code: "AA"}
	if it.refused != nil {
		head.Code, head.Text = "AE", it.refused.Reason
	}
	m := it.Message
	if m == nil {
		head.Code = "AR"
		return head
	}
	head.Head = [8]string{
		m.SendingApplication, m.SendingFacility, m.ReceivingApplication, m.ReceivingFacility,
		m.Processing, m.Version, m.Type, m.Event,
	}
	head.Control, head.Hash = m.Control, m.Hash
	return head
}
