package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"waybill/exchange/wire"
	"waybill/internal/fault"
)

// maxPrefix leaves room for the names of an exchange in S3's 1,024 bytes.
const maxPrefix = 500

// Open returns the store that c describes. It reads the SDK's environment and files and makes no
// connection. An invalid configuration is a [fault.Usage] error.
func Open(c Config) (*Store, error) {
	c.Prefix, c.Times = strings.Trim(c.Prefix, "/"), c.Times.OrDefault()
	if c.Now == nil {
		c.Now = time.Now
	}
	if err := c.check(); err != nil {
		return nil, refused(c, err)
	}
	client, err := c.httpClient()
	if err != nil {
		return nil, refused(c, err)
	}
	shared, err := c.load(context.Background(), client)
	if err != nil {
		return nil, refused(c, err)
	}
	// The shared configuration may have added certificates (AWS_CA_BUNDLE).
	if changed, ok := shared.HTTPClient.(*awshttp.BuildableClient); ok {
		client = changed
	}
	s := &Store{config: c, HTTP: wire.HTTP{Transport: client.GetTransport()}}
	s.credentials = aws.NewCredentialsCache(c.provider(client))
	s.signer.forget()
	s.client = s3.NewFromConfig(shared, s.options)
	if s.client.Options().Region == "" {
		return nil, refused(c, errors.New("no region is given"))
	}
	if endpoint := s.client.Options().BaseEndpoint; c.AllowPlaintext == "" && endpoint != nil && inTheClear(*endpoint) {
		return nil, fault.New(fault.Usage, "open store", "s3://"+c.Bucket, errors.New("its endpoint is http://, which sends patients' data and session tokens in the clear"),
			"write https://, or give the reason in allow_plaintext")
	}
	return s, nil
}

func refused(c Config, err error) error {
	return fault.New(fault.Usage, "open store", "s3://"+c.Bucket, err, "see docs/s3.md for the settings")
}

func (c *Config) check() error {
	switch {
	case c.Bucket == "" || strings.Contains(c.Bucket, "/") && !strings.HasPrefix(c.Bucket, "arn:"):
		return fmt.Errorf("%q is not a bucket's name", c.Bucket)
	case c.Checksums != "" && c.Checksums != WhenSupported && c.Checksums != WhenRequired:
		return fmt.Errorf("checksums are %q or %q, not %q", WhenSupported, WhenRequired, c.Checksums)
	case c.SSE != "" && c.SSE != "AES256" && c.SSE != "aws:kms":
		return fmt.Errorf("server-side encryption is AES256 or aws:kms, not %q", c.SSE)
	case c.KMSKey != "" && c.SSE != "aws:kms":
		return errors.New("a KMS key takes the server-side encryption aws:kms")
	}
	return errors.Join(c.ObjectLock.check(), checkPrefix(c.Prefix), checkEndpoint(c.Endpoint))
}

func (l ObjectLock) check() error {
	switch {
	case l == ObjectLock{}:
		return nil
	case l.Mode != "GOVERNANCE" && l.Mode != "COMPLIANCE":
		return fmt.Errorf("the object lock's mode is GOVERNANCE or COMPLIANCE, not %q", l.Mode)
	case l.Days < 1 || l.Days > 36500:
		return fmt.Errorf("an object lock of %d days is not in 1 to 36500", l.Days)
	}
	return nil
}

// checkPrefix refuses prefixes that proxies and file-backed servers rewrite.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if len(prefix) > maxPrefix || strings.ContainsFunc(prefix, unicode.IsControl) {
		return fmt.Errorf("%q is not a prefix: it has control characters or more than %d bytes", prefix, maxPrefix)
	}
	for element := range strings.SplitSeq(prefix, "/") {
		if element == "" || element == "." || element == ".." {
			return fmt.Errorf("%q is not a prefix: an element is empty or of dots alone", prefix)
		}
	}
	return nil
}

// checkEndpoint does not repeat the endpoint in errors, because people put passwords there.
func checkEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("the endpoint is not of the form https://host or http://host:port")
	}
	return nil
}

// inTheClear reports whether requests to the endpoint leave this machine without encryption.
func inTheClear(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && u.Scheme == "http" && !wire.IsLoopback(u.Hostname())
}

// load reads the SDK's configuration from the environment and the shared files.
func (c *Config) load(ctx context.Context, client *awshttp.BuildableClient) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{config.WithHTTPClient(client), config.WithAppID("waybill")}
	if c.Profile != "" {
		options = append(options, config.WithSharedConfigProfile(c.Profile))
	}
	if c.Region != "" {
		options = append(options, config.WithRegion(c.Region))
	}
	return config.LoadDefaultConfig(ctx, options...)
}

// options apply the configuration over what the SDK found by itself.
func (s *Store) options(o *s3.Options) {
	c := s.config
	if c.Endpoint != "" {
		o.BaseEndpoint = aws.String(c.Endpoint)
	}
	custom := o.BaseEndpoint != nil
	if custom && o.Region == "" {
		o.Region = "us-east-1"
	}
	o.UsePathStyle = custom
	if c.PathStyle != nil {
		o.UsePathStyle = *c.PathStyle
	}
	if c.Checksums == WhenRequired || c.Checksums == "" && custom {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	} else if c.Checksums == WhenSupported {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
	}
	o.Credentials, o.HTTPSignerV4 = s.credentials, &s.signer
	o.Retryer = conflictRetryer()
	o.DisableLogOutputChecksumValidationSkipped = true
	o.HTTPClient = &http.Client{
		Transport:     bounded{s.Transport},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// httpClient returns a client whose connections never hang. The SDK insists on its own type.
func (c *Config) httpClient() (*awshttp.BuildableClient, error) {
	roots, err := wire.Roots(c.CAFile)
	if err != nil {
		return nil, err
	}
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = c.Times.Dial
		t.TLSHandshakeTimeout = c.Times.Connect
		t.IdleConnTimeout = c.Times.Idle / 2
		t.MaxIdleConnsPerHost = 16
		if roots != nil {
			t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
		}
	}), nil
}
