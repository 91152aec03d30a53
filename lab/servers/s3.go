package servers

import (
	"context"
	"errors"
	"go/build"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sys/unix"

	"waybill/internal/fault"
)

// S3Region is the region that the S3 server says it is in.
const S3Region = "us-east-1"

// S3Key is an access key with its secret.
type S3Key struct{ ID, Secret string }

// S3Root is the key that may do anything on the S3 server.
var S3Root = S3Key{ID: "waybill-root", Secret: "waybill-root-secret"}

// S3Options say how to run the S3 server.
type S3Options struct {
	Certificate Certificate // for TLS; the zero value is plain HTTP
	Users       bool        // run an IAM service too, for [S3.AddUser]
	Log         io.Writer   // nil discards
}

// S3 is a versitygw, whose buckets are folders.
type S3 struct {
	*Server
	dir     string
	scheme  string
	iam     *Server
	program string
}

// StartS3 starts a versitygw that keeps all it has in dir: with versions and object lock where a
// bucket wants them. It runs as the current account, root included: it asks for no other, and
// what `go install` puts into a home may be closed to others.
func StartS3(ctx context.Context, dir string, options S3Options) (*S3, error) {
	program, err := versitygw()
	if err != nil {
		return nil, err
	}
	s := &S3{dir: dir, scheme: "http", program: program}
	for _, folder := range []string{"buckets", "meta", "versions", "iam"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return nil, fault.New(fault.Transient, "start", "versitygw", err, "")
		}
	}
	args := []string{"--quiet", "--keep-alive", "--region", S3Region}
	if tls := options.Certificate; tls != (Certificate{}) {
		s.scheme = "https"
		args = append(args, "--cert", tls.Cert, "--key", tls.Key)
	}
	if options.Users {
		if s.iam, err = start(ctx, "versitygw iam", options.Log, s.iamCommand); err != nil {
			return nil, err
		}
		args = append(args, "--iam-cache-disable", "--iam-standalone-endpoint", s.iamSocket())
	}
	s.Server, err = start(ctx, "versitygw", options.Log, func(port int) (*exec.Cmd, error) {
		return s.gateway(port, args), nil
	})
	if err != nil {
		return nil, errors.Join(err, s.stopIAM(ctx))
	}
	return s, nil
}

// versitygw returns the program's path: on PATH, or where `go install` puts it.
func versitygw() (string, error) {
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path, nil
	}
	path := filepath.Join(build.Default.GOPATH, "bin", "versitygw")
	if _, err := os.Stat(path); err != nil {
		return "", fault.New(fault.Usage, "find", "versitygw", fs.ErrNotExist, "`make servers` installs it")
	}
	return path, nil
}

func (s *S3) gateway(port int, args []string) *exec.Cmd {
	args = append([]string{"--port", "127.0.0.1:" + strconv.Itoa(port)}, args...)
	args = append(args, "posix", "--versioning-dir", filepath.Join(s.dir, "versions"))
	buckets := filepath.Join(s.dir, "buckets")
	if !hasAttributes(buckets) {
		args = append(args, "--sidecar", filepath.Join(s.dir, "meta"))
	}
	return s.command(append(args, buckets)...)
}

// hasAttributes reports whether files can have extended attributes, as they can't on every
// tmpfs. The server keeps there what describes an object; separate files take twice the time.
func hasAttributes(folder string) bool {
	return unix.Setxattr(folder, "user.waybill", []byte("1"), 0) == nil
}

// command passes the secret in the environment: every user can read a command line.
func (s *S3) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.program, args...)
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "ROOT_ACCESS_KEY_ID=" + S3Root.ID, "ROOT_SECRET_ACCESS_KEY=" + S3Root.Secret}
	return cmd
}

// Endpoint returns the server's URL.
func (s *S3) Endpoint() string { return s.scheme + "://" + s.Addr() }

// Folder returns where a bucket's objects lie, each as a file named by its key.
func (s *S3) Folder(bucket string) string { return filepath.Join(s.dir, "buckets", bucket) }

// Stop ends the server in order.
func (s *S3) Stop(ctx context.Context) error {
	return errors.Join(s.Server.Stop(ctx), s.stopIAM(ctx))
}

func (s *S3) stopIAM(ctx context.Context) error {
	if s.iam == nil {
		return nil
	}
	return s.iam.Stop(ctx)
}

// Client returns a client with root's key, for looking into the server by other means than the
// store under test.
func (s *S3) Client() *s3.Client {
	return s3.New(s3.Options{
		Region:                     S3Region,
		BaseEndpoint:               aws.String(s.Endpoint()),
		UsePathStyle:               true,
		Credentials:                S3Root.provider(),
		HTTPClient:                 awshttp.NewBuildableClient(),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
	})
}

func (k S3Key) provider() aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret}, nil
	})
}

// CreateBucket makes a bucket. One with object lock keeps versions too.
func (s *S3) CreateBucket(ctx context.Context, bucket string, lock bool) error {
	_, err := s.Client().CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket, ObjectLockEnabledForBucket: &lock})
	return err
}
