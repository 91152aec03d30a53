package s3

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

const (
	conflictAttempts = 6
	conflictBackoff  = 500 * time.Millisecond
)

// conflictRetryer repeats what met another conditional write of the same name (409), as S3 asks
// for, and nothing else.
func conflictRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = conflictAttempts
		o.Backoff = retry.NewExponentialJitterBackoff(conflictBackoff)
		o.RateLimiter = ratelimit.None
		o.Retryables = []retry.IsErrorRetryable{retry.RetryableHTTPStatusCode{Codes: map[int]struct{}{http.StatusConflict: {}}}}
	})
}

// provider obtains credentials from the SDK's default chain, which it builds anew each time:
// shared files may have changed.
func (c *Config) provider(client *awshttp.BuildableClient) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		// Off AWS the machine's metadata service is an address that may answer nothing.
		ctx, cancel := context.WithTimeout(ctx, c.Times.Connect)
		defer cancel()
		shared, err := c.load(ctx, client)
		if err != nil {
			return aws.Credentials{}, &credentialsError{err}
		}
		found, err := shared.Credentials.Retrieve(ctx)
		if err != nil {
			return aws.Credentials{}, &credentialsError{err}
		}
		return found, nil
	})
}

// signer can forget: the SDK's own keeps a key that it derived from a secret for as long as the
// key's id stays the same, also when the secret has changed.
type signer struct{ atomic.Pointer[v4.Signer] }

func (s *signer) forget() {
	s.Store(v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })) // as S3 wants it
}

func (s *signer) SignHTTP(ctx context.Context, credentials aws.Credentials, r *http.Request, payloadHash, service, region string, at time.Time, options ...func(*v4.SignerOptions)) error {
	return s.Load().SignHTTP(ctx, credentials, r, payloadHash, service, region, at, options...)
}

// renew has the next request read the credentials anew.
func (s *Store) renew() {
	s.credentials.Invalidate()
	s.signer.forget()
}

// credentialsError says that there is nothing to sign a request with.
type credentialsError struct{ error }

func (e *credentialsError) Unwrap() error { return e.error }
