package s3_test

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"
	"testing"

	"waybill/exchange"
	"waybill/exchange/s3"
	"waybill/internal/fault"
)

// asRole returns a store under the policy that the project ships for a role.
func asRole(t *testing.T, c s3.Config, role string) *s3.Store {
	t.Helper()
	policy, err := os.ReadFile("../../deploy/s3/" + role + ".json")
	must(t, err)
	text := strings.NewReplacer("BUCKET", c.Bucket, "ROOT", path.Dir(c.Prefix), "INSTANCE", "morgue@east").Replace(string(policy))
	return open(t, addUser(t, c, role, text))
}

func put(store *s3.Store, name string) func(context.Context) error {
	return func(ctx context.Context) error { return store.Put(ctx, name, 9*mB, pattern(9*mB)) }
}

func publish(store *s3.Store, name string) func(context.Context) error {
	return func(ctx context.Context) error { return store.Publish(ctx, name, []byte("x")) }
}

func remove(store *s3.Store, name string) func(context.Context) error {
	return func(ctx context.Context) error { return store.Delete(ctx, name) }
}

func TestRolesCanDoTheirWorkAndNoMore(t *testing.T) {
	const (
		part     = "parts/event=died/date=2026-11-22/a.parquet"
		manifest = "log/000000000/000000000001.json"
		receipt  = "receipts/morgue@east/000000000/000000000001.json"
		foreign  = "receipts/appointments@east/000000000/000000000001.json"
		scratch  = "doctor/1/file"
	)
	c := config()
	root := open(t, c)
	for _, name := range []string{part, manifest, receipt, foreign} {
		must(t, root.Put(t.Context(), name, 1, strings.NewReader("x")))
	}
	for _, test := range []struct {
		role            string
		allowed, denied func(*s3.Store) []func(context.Context) error
	}{
		{
			"exporter",
			func(s *s3.Store) []func(context.Context) error {
				return []func(context.Context) error{put(s, part), publish(s, "log/000000000/000000000002.json"), publish(s, "README.txt")}
			},
			func(s *s3.Store) []func(context.Context) error {
				return []func(context.Context) error{remove(s, part), remove(s, manifest), publish(s, "receipts/morgue@west/1.json"), put(s, scratch)}
			},
		},
		{
			"importer",
			func(s *s3.Store) []func(context.Context) error {
				return []func(context.Context) error{publish(s, "receipts/morgue@east/000000000/000000000002.json"), remove(s, receipt)}
			},
			func(s *s3.Store) []func(context.Context) error {
				return []func(context.Context) error{put(s, part), publish(s, "log/000000000/000000000003.json"), publish(s, foreign), remove(s, foreign)}
			},
		},
		{
			"prune",
			func(s *s3.Store) []func(context.Context) error {
				return []func(context.Context) error{publish(s, "floors/000000000001.json"), remove(s, part), remove(s, foreign)}
			},
			func(s *s3.Store) []func(context.Context) error {
				return []func(context.Context) error{put(s, part), publish(s, "log/000000000/000000000003.json"), remove(s, "README.txt"), remove(s, "floors/000000000001.json")}
			},
		},
		{
			"doctor",
			func(s *s3.Store) []func(context.Context) error {
				return []func(context.Context) error{put(s, scratch), publish(s, "doctor/1/manifest"), remove(s, scratch)}
			},
			func(s *s3.Store) []func(context.Context) error {
				return []func(context.Context) error{put(s, part), publish(s, "log/000000000/000000000003.json"), remove(s, manifest)}
			},
		},
	} {
		t.Run(test.role, func(t *testing.T) {
			store := asRole(t, c, test.role)
			wantFollowing(t, store, manifest)
			for i, do := range test.allowed(store) {
				if err := do(t.Context()); err != nil {
					t.Errorf("%d: %v (%s)", i, err, fault.HintOf(err))
				}
			}
			for i, do := range test.denied(store) {
				err := do(t.Context())
				if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "grant s3:") {
					t.Errorf("%d: %v (hint %q), want a refusal", i, err, fault.HintOf(err))
				}
			}
			facts, err := store.Inspect(t.Context())
			must(t, err)
			for _, fact := range facts {
				if fact.Name == "versions" && strings.Contains(fact.Value, "AccessDenied") == (test.role == "doctor") {
					t.Errorf("versions: %s", fact.Value)
				}
			}
		})
	}
}

// wantFollowing does what every role does: poll, read, list.
func wantFollowing(t *testing.T, store *s3.Store, there string) {
	t.Helper()
	wantBytes(t, store, there, []byte("x"))
	if _, err := store.Get(t.Context(), "log/000000000/000000000009.json"); !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("poll = %v", err)
	}
	found := 0
	for name, err := range store.List(t.Context(), "log") {
		must(t, err)
		if name == "000000000/" {
			found++
		}
	}
	if found != 1 {
		t.Error("the log's folder is not listed")
	}
}
