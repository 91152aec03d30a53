package inbox

import (
	"bufio"
	"bytes"
	"cmp"
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

// replies answer the sender. They are entered together with a file, and written after the commit.
type replies struct{ *session }

// enter enters the replies that the partner wants for a file: names and contents.
func (r replies) enter(ctx context.Context, tx pgx.Tx, id int64, entry register.File, result *FileResult) error {
	if a := r.Settings.Acks; a != nil && entry.Status != register.Skipped {
		if err := register.Owe(ctx, tx, register.Reply{File: id, Kind: acks, Name: a.of(entry.Name, id)}); err != nil {
			return err
		}
	}
	if wanted := r.Settings.Report; wanted != nil {
		decided, err := register.VerdictOn(ctx, tx, id)
		if err != nil {
			return err
		}
		return register.Owe(ctx, tx, register.Reply{File: id, Kind: report, Name: wanted.of(entry.Name, id), Body: reportOn(decided, result)})
	}
	return nil
}

// writeAll writes the replies that were not written yet.
func (r replies) writeAll(ctx context.Context) error {
	list, err := register.Pending(ctx, r.conn, r.Partner)
	if err != nil {
		return r.failed(err)
	}
	for _, reply := range list {
		if err := r.write(ctx, reply); err != nil {
			return err
		}
		if err := register.Written(ctx, r.conn, reply); err != nil {
			return r.failed(err)
		}
	}
	return nil
}

// write puts a reply on the store, by way of the spool. If the store can't overwrite files, a reply may exist
// already, left by a crash.
func (r replies) write(ctx context.Context, reply register.Reply) error {
	file, err := os.OpenFile(filepath.Join(r.spool.Dir, "reply"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return spoolFault(err)
	}
	defer file.Close()
	w := bufio.NewWriter(&spooled{File: file})
	if reply.Kind == acks {
		err = r.writeAcks(ctx, w, reply.File)
	} else {
		_, err = w.Write(reply.Body)
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return r.failed(err)
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return spoolFault(err)
	}
	err = r.Folder.Put(ctx, reply.Name, size, io.NewSectionReader(file, 0, size))
	if !errors.Is(err, exchange.ErrExists) {
		return err
	}
	want, err := hashAll(io.NewSectionReader(file, 0, size))
	if err != nil {
		return spoolFault(err)
	}
	got, err := hashOf(ctx, r.Folder, reply.Name)
	if err == nil && got != want {
		err = fault.New(fault.Usage, "put", reply.Name, exchange.ErrExists, "put {id} into the name of replies, or remove the file")
	}
	return err
}

// writeAcks writes one batch: an ACK for each message, in their order, and the number of messages of each kind. For
// a refused file it writes no ACK, only the reason.
func (r replies) writeAcks(ctx context.Context, w io.Writer, file int64) error {
	f, err := register.VerdictOn(ctx, r.conn, file)
	if err != nil {
		return err
	}
	tally, err := register.Tally(ctx, r.conn, file)
	if err != nil {
		return err
	}
	at := f.At.UTC().Format("20060102150405+0000")
	fmt.Fprintf(w, "FHS|^~\\&|WAYBILL||||%s||%s\rBHS|^~\\&|WAYBILL||||%s||||%d\r", at, hl7(f.Name), at, f.ID)
	for m, err := range register.Messages(ctx, r.conn, file) {
		if err != nil {
			return err
		}
		writeAck(w, f, at, m)
	}
	comment := fmt.Sprintf("AA %d AE %d AR %d", tally["AA"], tally["AE"], tally["AR"])
	if f.Status == register.Refused {
		comment = "the file was refused: " + f.Reason
	}
	_, err = fmt.Fprintf(w, "BTS|%d|%s\rFTS|1\r", tally["AA"]+tally["AE"]+tally["AR"], hl7(comment))
	return err
}

// writeAck answers one message, to its sender.
func writeAck(w io.Writer, f register.Verdict, at string, m register.Message) {
	sender, facility, receiver, ours, processing, version := m.Head[0], m.Head[1], m.Head[2], m.Head[3], m.Head[4], m.Head[5]
	kind := "ACK"
	if event := m.Head[7]; event != "" {
		kind = "ACK^" + event
	}
	for _, field := range []*string{&sender, &facility, &receiver, &ours, &processing, &version, &kind} {
		*field = oneField(*field)
	}
	fmt.Fprintf(w, "MSH|^~\\&|%s|%s|%s|%s|%s||%s|%d-%d|%s|%s\rMSA|%s|%s", receiver, ours, sender, facility, at, kind, f.ID, m.N, cmp.Or(processing, "P"), cmp.Or(version, "2.5"), m.Code, oneField(m.Control))
	if m.Text != "" {
		fmt.Fprintf(w, "|%s", hl7(m.Text))
	}
	fmt.Fprintf(w, "\r")
}

// hl7 escapes text of our own.
func hl7(text string) string {
	return strings.NewReplacer("\\", `\E\`, "|", `\F\`, "^", `\S\`, "&", `\T\`, "~", `\R\`, "\r", " ", "\n", " ").Replace(text)
}

// oneField keeps a sender's own field unchanged, but makes sure that it stays one field.
func oneField(text string) string {
	return strings.NewReplacer("|", `\F\`, "\r", " ", "\n", " ").Replace(text)
}

// mostListed bounds the records that a report lists.
const mostListed = 1000

// reportOn lists the outcome of a file. For each record that was set aside it lists the place, the sender's own
// number and the reason, and nothing of the patient.
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
