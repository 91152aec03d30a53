package mesh

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestWhatIsWrittenIsReadTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string { return rapid.StringMatching(`[ -~äß€]{0,40}`).Draw(t, name) }
		c := &Control{
			Version: "1.0", AddressType: "DTS", MessageType: "Data", From: text("from"), To: text("to"), Subject: text("subject"),
			LocalID: text("id"), WorkflowID: text("workflow"), Encrypted: "N", Compress: "Y", IsCompressed: "N",
		}
		if rapid.Bool().Draw(t, "transferred") {
			c.Status = &Status{text("status")}
		}
		data, err := c.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		read, err := Parse(data)
		if diff := cmp.Diff(c, read, cmpopts.IgnoreFields(Control{}, "XMLName")); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
	})
}
