package inbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/partner/intake/register"
)

// Kinds of replies.
const (
	acks   = "acks"
	report = "report"
)

// owe enters the replies that the partner wants for a file: their names, and what they are made of.
func (in *Inbox) owe(ctx context.Context, tx pgx.Tx, id int64, entry register.File, result *FileResult) error {
	if r := in.Settings.Acks; r != nil && entry.Status != register.Skipped {
		if err := register.Owe(ctx, tx, register.Reply{File: id, Kind: acks, Name: r.of(entry.Name, id)}); err != nil {
			return err
		}
	}
	if r := in.Settings.Report; r != nil {
		decided, err := register.VerdictOn(ctx, tx, id)
		if err != nil {
			return err
		}
		return register.Owe(ctx, tx, register.Reply{File: id, Kind: report, Name: r.of(entry.Name, id), Body: reportOn(decided, result)})
	}
	return nil
}

// reply writes the replies that are owed.
func (in *Inbox) reply(ctx context.Context) error {
	owed, err := register.Owed(ctx, in.conn, in.Partner)
	if err != nil {
		return in.failed(err)
	}
	for _, r := range owed {
		if err := in.write(ctx, r); err != nil {
			return err
		}
		if err := register.Written(ctx, in.conn, r); err != nil {
			return in.failed(err)
		}
	}
	return nil
}

// write puts a reply on the store. Where nothing can be overwritten, a crash may have left it there.
func (in *Inbox) write(ctx context.Context, r register.Reply) error {
	var body io.ReadSeeker = bytes.NewReader(r.Body)
	if r.Kind == acks {
		file, err := in.ackFile(ctx, r)
		if err != nil {
			return err
		}
		defer file.Close()
		body = file
	}
	size, err := body.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = body.Seek(0, io.SeekStart)
	}
	if err != nil {
		return spoolFault(err)
	}
	err = in.Folder.Put(ctx, r.Name, size, body)
	if errors.Is(err, exchange.ErrExists) {
		return in.isThere(ctx, r.Name, body)
	}
	return err
}

func (in *Inbox) isThere(ctx context.Context, name string, body io.ReadSeeker) error {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return spoolFault(err)
	}
	want, err := hashAll(body)
	if err != nil {
		return spoolFault(err)
	}
	got, err := in.hashOf(ctx, name)
	if err == nil && got != want {
		err = fault.New(fault.Usage, "put", name, exchange.ErrExists, "have {id} in the name of replies, or remove the file")
	}
	return err
}

// ackFile writes the acknowledgements of a file's messages to the spool.
func (in *Inbox) ackFile(ctx context.Context, r register.Reply) (*os.File, error) {
	decided, err := register.VerdictOn(ctx, in.conn, r.File)
	if err != nil {
		return nil, in.failed(err)
	}
	tally, err := register.Tally(ctx, in.conn, r.File)
	if err != nil {
		return nil, in.failed(err)
	}
	file, err := os.OpenFile(filepath.Join(in.spool.Dir, "acks"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, spoolFault(err)
	}
	w := bufio.NewWriter(file)
	err = writeAcks(w, decided, tally, register.Messages(ctx, in.conn, r.File))
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		_ = file.Close()
		return nil, in.failed(err)
	}
	return file, nil
}

// writeAcks writes one batch: an ACK for each message, in their order, and how many there were of each
// kind. A file that was refused has none, and says why.
func writeAcks(w io.Writer, f register.Verdict, tally map[string]int64, messages func(func(register.Message, error) bool)) error {
	at := f.At.UTC().Format("20060102150405+0000")
	fmt.Fprintf(w, "FHS|^~\\&|WAYBILL||||%s||%s\rBHS|^~\\&|WAYBILL||||%s||||%d\r", at, hl7(f.Name), at, f.ID)
	for m, err := range messages {
		if err != nil {
			return err
		}
		writeAck(w, f, at, m)
	}
	comment := fmt.Sprintf("AA %d AE %d AR %d", tally["AA"], tally["AE"], tally["AR"])
	if f.Status == register.Refused {
		comment = "the file was refused: " + f.Reason
	}
	_, err := fmt.Fprintf(w, "BTS|%d|%s\rFTS|1\r", tally["AA"]+tally["AE"]+tally["AR"], hl7(comment))
	return err
}

// writeAck answers one message: who sent it is who is written to.
func writeAck(w io.Writer, f register.Verdict, at string, m register.Message) {
	sender, facility, receiver, ours, processing, version := m.Head[0], m.Head[1], m.Head[2], m.Head[3], m.Head[4], m.Head[5]
	kind := "ACK"
	if event := m.Head[7]; event != "" {
		kind = "ACK^" + event
	}
	for _, field := range []*string{&sender, &facility, &receiver, &ours, &processing, &version, &kind} {
		*field = oneField(*field)
	}
	if version == "" {
		version = "2.5"
	}
	if processing == "" {
		processing = "P"
	}
	fmt.Fprintf(w, "MSH|^~\\&|%s|%s|%s|%s|%s||%s|%d-%d|%s|%s\rMSA|%s|%s", receiver, ours, sender, facility, at, kind, f.ID, m.N, processing, version, m.Code, oneField(m.Control))
	if m.Text != "" {
		fmt.Fprintf(w, "|%s", hl7(m.Text))
	}
	fmt.Fprintf(w, "\r")
}

// hl7 escapes text of our own.
func hl7(text string) string {
	return strings.NewReplacer("\\", `\E\`, "|", `\F\`, "^", `\S\`, "&", `\T\`, "~", `\R\`, "\r", " ", "\n", " ").Replace(text)
}

// oneField keeps a sender's own field as it came, as long as it stays one field.
func oneField(text string) string {
	return strings.NewReplacer("|", `\F\`, "\r", " ", "\n", " ").Replace(text)
}

// mostListed bounds the records that a report lists.
const mostListed = 1000

// reportOn tells the sender what became of a file, and of each record that was set aside its place,
// its own number and the reason: nothing of the patient.
func reportOn(f register.Verdict, r *FileResult) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "file\t%s\nsha256\t%x\nstatus\t%s\n", f.Name, f.SHA256, f.Status)
	if f.Reason != "" {
		fmt.Fprintf(&b, "reason\t%s\n", f.Reason)
	}
	fmt.Fprintf(&b, "decided\t%s\nrecords\t%d\nnot taken\t%d\n", f.At.UTC().Format("2006-01-02T15:04:05Z"), r.Counts.Records, r.Counts.Quarantined)
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "warning\t%s\n", w)
	}
	if len(r.bad) > 0 {
		b.WriteString("\nmember\tline\tcontrol id\treason\n")
	}
	for i, bad := range r.bad {
		if i == mostListed {
			fmt.Fprintf(&b, "and more\n")
			break
		}
		fmt.Fprintf(&b, "%s\t%d\t%s\t%s\n", cell(bad.Member), bad.Line, cell(bad.Control), bad.reason)
	}
	return b.Bytes()
}

func cell(text string) string {
	if text == "" {
		return "-"
	}
	return strings.NewReplacer("\t", " ", "\r", " ", "\n", " ").Replace(text)
}
