package s3_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"waybill/exchange/s3"
	"waybill/lab/exchangetest"
	"waybill/lab/servers"
)

const (
	bucket = "hospital"
	locked = "hospital-locked" // with object lock
)

var (
	server *servers.S3
	number atomic.Int64
)

// TestMain runs one server for all tests. Each has its own prefix.
func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "waybill-s3-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	for _, name := range os.Environ() {
		if name, _, _ = strings.Cut(name, "="); strings.HasPrefix(name, "AWS_") {
			os.Unsetenv(name)
		}
	}
	profiles := filepath.Join(dir, "credentials")
	os.Setenv("AWS_SHARED_CREDENTIALS_FILE", profiles)
	os.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	if err := writeProfiles(profiles, map[string]servers.S3Key{"root": servers.S3Root}); err != nil {
		panic(err)
	}
	if server, err = start(dir); err != nil {
		panic(err)
	}
	defer server.Stop(context.Background())
	return m.Run()
}

func start(dir string) (*servers.S3, error) {
	ctx := context.Background()
	server, err := servers.StartS3(ctx, dir, servers.S3Options{Users: true})
	if err != nil {
		return nil, err
	}
	for name, lock := range map[string]bool{bucket: false, locked: true} {
		if err := server.CreateBucket(ctx, name, lock); err != nil {
			return nil, err
		}
	}
	return server, nil
}

// writeProfiles writes a shared credentials file.
func writeProfiles(file string, keys map[string]servers.S3Key) error {
	var text strings.Builder
	for name, key := range keys {
		fmt.Fprintf(&text, "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n", name, key.ID, key.Secret)
	}
	return os.WriteFile(file, []byte(text.String()), 0o600)
}

// config returns that of an empty store on the server that all tests share.
func config() s3.Config {
	return s3.Config{
		Bucket:   bucket,
		Prefix:   fmt.Sprintf("site %d/patient-events", number.Add(1)),
		Endpoint: server.Endpoint(),
		Profile:  "root",
	}
}

func open(t *testing.T, c s3.Config) *s3.Store {
	t.Helper()
	store, err := s3.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestProofConformance(t *testing.T) {
	for _, test := range []struct {
		name   string
		caps   exchangetest.Capabilities
		change func(*s3.Config)
	}{
		{"native", exchangetest.Capabilities{NativePublish: true, Overwrites: true}, func(*s3.Config) {}},
		{"emulated", exchangetest.Capabilities{Overwrites: true}, func(c *s3.Config) { c.EmulatePublish = true }},
		// To this server a deleted file's name is taken as long as a version is kept; to AWS it isn't.
		{"with checksums and versions", exchangetest.Capabilities{NativePublish: true, Overwrites: true, KeepsNames: true}, func(c *s3.Config) {
			c.Bucket, c.Checksums = locked, s3.WhenSupported
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			exchangetest.Run(t, test.caps, func(t *testing.T) exchangetest.Place {
				c := config()
				test.change(&c)
				folder := filepath.Join(server.Folder(c.Bucket), c.Prefix)
				return exchangetest.Place{
					Store: open(t, c),
					Plant: func(name string, data []byte) error { return os.WriteFile(filepath.Join(folder, name), data, 0o644) },
				}
			})
		})
	}
}

// plant puts objects by another client than the store's.
func plant(t *testing.T, server *servers.S3, c s3.Config) func(string, []byte) error {
	return func(name string, data []byte) error {
		_, err := server.Client().PutObject(t.Context(), &awss3.PutObjectInput{
			Bucket: &c.Bucket, Key: aws.String(c.Prefix + "/" + name), Body: bytes.NewReader(data),
		})
		return err
	}
}
