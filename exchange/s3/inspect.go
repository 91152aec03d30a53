package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"waybill/exchange"
	"waybill/internal/fact"
)

const notable = 5 * time.Minute // clock skew; S3 refuses at 15

// Inspect reports the server, the connection and the settings of the bucket, as far as the
// role may read it.
func (s *Store) Inspect(ctx context.Context) ([]fact.Fact, error) {
	facts, err := examination{s}.inspect(ctx)
	if err != nil {
		return nil, s.failed(ctx, "inspect", "", err)
	}
	return facts, nil
}

// examination looks at the server and at the bucket's settings.
type examination struct{ *Store }

func (e examination) inspect(ctx context.Context) ([]fact.Fact, error) {
	if err := e.Ready(ctx); err != nil {
		return nil, err
	}
	prefix := e.config.folderKey("") // the right to list may cover only this prefix
	sent := e.config.Now()
	page, err := e.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &e.config.Bucket, Prefix: &prefix, MaxKeys: aws.Int32(1)})
	if err != nil {
		return nil, err
	}
	received := e.config.Now()
	response, ok := middleware.GetRawResponse(page.ResultMetadata).(*smithyhttp.Response)
	if !ok {
		return nil, errors.New("the SDK gives no response")
	}
	credentials, err := e.credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	facts := []fact.Fact{
		{Name: "bucket", Value: e.config.place("")},
		e.endpoint(response.Response),
		{Name: "server", Value: or(response.Header.Get("Server"), "says nothing of itself")},
		{Name: "region", Value: or(response.Header.Get("X-Amz-Bucket-Region"), e.client.Options().Region)},
		tlsFact(response.TLS),
		skew(response.Header.Get("Date"), sent.Add(received.Sub(sent)/2)),
		{Name: "credentials", Value: credentials.Source},
		e.checksums(),
		e.createIfAbsent(),
	}
	return append(facts, e.versioning(ctx), e.lock(ctx), e.lifecycle(ctx)), nil
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func (e examination) endpoint(response *http.Response) fact.Fact {
	style := "bucket in the host's name"
	if e.client.Options().UsePathStyle {
		style = "bucket in the path"
	}
	u := response.Request.URL
	return fact.Fact{Name: "endpoint", Value: fmt.Sprintf("%s://%s, %s", u.Scheme, u.Host, style)}
}

func tlsFact(state *tls.ConnectionState) fact.Fact {
	if state == nil {
		return fact.Fact{Name: "TLS", Value: "none", Advice: "use an https endpoint: patients' data cross the network as they are"}
	}
	return fact.Fact{Name: "TLS", Value: tls.VersionName(state.Version)}
}

func skew(date string, now time.Time) fact.Fact {
	fact := fact.Fact{Name: "clock skew", Value: "unknown: the server gives no date"}
	at, err := http.ParseTime(date)
	if err != nil {
		return fact
	}
	// The header has whole seconds, cut off.
	by := now.Sub(at).Truncate(time.Second)
	fact.Value = fmt.Sprintf("%v ahead of the server", by)
	if by < 0 {
		fact.Value = fmt.Sprintf("%v behind the server", -by)
	}
	if by.Abs() >= notable {
		fact.Advice = "set this machine's clock by NTP: S3 refuses requests that are off by more than 15 minutes"
	}
	return fact
}

func (e examination) checksums() fact.Fact {
	fact := fact.Fact{Name: "checksums", Value: string(WhenSupported)}
	if e.client.Options().RequestChecksumCalculation == aws.RequestChecksumCalculationWhenRequired {
		fact.Value = string(WhenRequired)
	}
	return fact
}

func (e examination) createIfAbsent() fact.Fact {
	if e.config.EmulatePublish {
		return fact.Fact{Name: "create-if-absent", Value: "emulated", Advice: "use it only where the server knows no If-None-Match"}
	}
	return fact.Fact{Name: "create-if-absent", Value: "native, by If-None-Match"}
}

func (e examination) versioning(ctx context.Context) fact.Fact {
	fact := fact.Fact{Name: "versions"}
	out, err := e.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &e.config.Bucket})
	switch {
	case err != nil:
		return unreadable(fact, err)
	case out.Status == types.BucketVersioningStatusEnabled:
		fact.Value = "kept"
	default:
		fact.Value = "not kept"
		fact.Advice = "keep versions: what is deleted or overwritten by mistake can then be had back"
	}
	return fact
}

func (e examination) lock(ctx context.Context) fact.Fact {
	fact := fact.Fact{Name: "object lock"}
	out, err := e.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &e.config.Bucket})
	switch {
	case err != nil && codeOf(err) != "ObjectLockConfigurationNotFoundError":
		return unreadable(fact, err)
	case err == nil && out.ObjectLockConfiguration != nil && out.ObjectLockConfiguration.ObjectLockEnabled == types.ObjectLockEnabledEnabled:
		fact.Value = "on" + defaultRetention(out.ObjectLockConfiguration)
	default:
		fact.Value = "off"
		if e.config.ObjectLock.Days > 0 {
			fact.Advice = "turn the bucket's object lock on, or object_lock off: writes fail, or are not locked"
		}
	}
	return fact
}

func defaultRetention(c *types.ObjectLockConfiguration) string {
	if c.Rule == nil || c.Rule.DefaultRetention == nil {
		return ""
	}
	r := c.Rule.DefaultRetention
	return fmt.Sprintf(", by default %s for %d days and %d years", r.Mode, aws.ToInt32(r.Days), aws.ToInt32(r.Years))
}

func (e examination) lifecycle(ctx context.Context) fact.Fact {
	fact := fact.Fact{Name: "lifecycle"}
	out, err := e.client.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &e.config.Bucket})
	if err != nil && codeOf(err) != "NoSuchLifecycleConfiguration" {
		return unreadable(fact, err)
	}
	var rules []types.LifecycleRule
	if out != nil {
		rules = out.Rules
	}
	return e.judgeRules(rules)
}

// judgeRules finds rules that affect the exchange's own objects. A rule with a filter by tag or
// size counts as affecting them.
func (e examination) judgeRules(rules []types.LifecycleRule) fact.Fact {
	fact := fact.Fact{Name: "lifecycle", Advice: "add a rule that aborts incomplete multipart uploads after a few days: what a crash leaves of them costs money and is never listed"}
	found := []string{}
	for _, rule := range rules {
		if rule.Status != types.ExpirationStatusEnabled || !e.covers(rule) {
			continue
		}
		if rule.AbortIncompleteMultipartUpload != nil {
			found = append(found, "incomplete uploads are aborted")
			fact.Advice = ""
		}
		if rule.Expiration != nil || len(rule.Transitions) > 0 {
			found = append(found, fmt.Sprintf("rule %q expires or archives objects", aws.ToString(rule.ID)))
		}
	}
	fact.Value = or(strings.Join(found, "; "), "no rule for this prefix")
	if strings.Contains(fact.Value, "expires") {
		fact.Advice = "see that the rule takes nothing a consumer still needs: a batch that vanishes stops them"
	}
	return fact
}

func (e examination) covers(rule types.LifecycleRule) bool {
	prefix := aws.ToString(rule.Prefix) //nolint:staticcheck // old rules have the prefix here
	if f := rule.Filter; f != nil {
		prefix = or(prefix, aws.ToString(f.Prefix))
		if f.And != nil {
			prefix = or(prefix, aws.ToString(f.And.Prefix))
		}
	}
	own := e.config.folderKey("")
	return strings.HasPrefix(own, prefix) || strings.HasPrefix(prefix, own)
}

func unreadable(fact fact.Fact, err error) fact.Fact {
	fact.Value = "not readable: " + or(codeOf(err), brief(err))
	fact.Advice = "let the role that runs doctor read the bucket's settings (deploy/s3/doctor.json), or see for yourself"
	return fact
}

// Written returns the object's time, to the second.
func (s *Store) Written(ctx context.Context, name string) (time.Time, error) {
	if err := exchange.CheckName(name); err != nil {
		return time.Time{}, err
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.config.Bucket, Key: aws.String(s.config.key(name))})
	if err != nil {
		return time.Time{}, s.failed(ctx, "inspect", name, err)
	}
	return aws.ToTime(out.LastModified), nil
}
