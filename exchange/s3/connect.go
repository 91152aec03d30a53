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

// conflictRetryer repeats only a request that met another conditional write of the same name (409),
// as S3 demands.
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
		// Outside AWS, the address of the machine's metadata service may never answer.
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

// signer can forget derived keys. The SDK's signer keeps a key that it derived from a secret as
// long as the key's id stays the same, even if the secret has changed.
type signer struct{ atomic.Pointer[v4.Signer] }

func (s *signer) forget() {
	s.Store(v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })) // as S3 requires
}

// SignHTTP leaves Accept-Encoding out of the signature: gateways on the way rewrite it, Google's among them.
func (s *signer) SignHTTP(ctx context.Context, credentials aws.Credentials, r *http.Request, payloadHash, service, region string, at time.Time, options ...func(*v4.SignerOptions)) error {
	const unsigned = "Accept-Encoding"
	if sent, ok := r.Header[unsigned]; ok {
		r.Header.Del(unsigned)
		defer func() { r.Header[unsigned] = sent }()
	}
	return s.Load().SignHTTP(ctx, credentials, r, payloadHash, service, region, at, options...)
}

// renew makes the next request read the credentials again.
func (s *Store) renew() {
	s.credentials.Invalidate()
	s.signer.forget()
}

// credentialsError says that no credentials were found to sign a request.
type credentialsError struct{ error }

func (e *credentialsError) Unwrap() error { return e.error }
