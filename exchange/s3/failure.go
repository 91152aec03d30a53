package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"waybill/exchange"
	"waybill/internal/fault"
)

const accessDenied = "AccessDenied"

// codeOf returns the code of a server's refusal, or "". The answer to a HEAD has no body, so the
// SDK makes up a code from its status.
func codeOf(err error) string {
	refusal, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return ""
	}
	if code := refusal.ErrorCode(); code != "Forbidden" {
		return code
	}
	return accessDenied
}

func isMissing(err error) bool {
	code := codeOf(err)
	return code == "NoSuchKey" || code == "NotFound" && operation(err) == "HeadObject"
}

// statusOf returns the HTTP status of the response that err is about, or 0.
func statusOf(err error) int {
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		return response.HTTPStatusCode()
	}
	return 0
}

func operation(err error) string {
	if e, ok := errors.AsType[*smithy.OperationError](err); ok {
		return e.OperationName
	}
	return ""
}

// failed turns a failure into a [fault.Error]. It forgets refused credentials, so that the next
// call reads them again.
func (s *Store) failed(ctx context.Context, op, name string, err error) error {
	class, hint := fault.Transient, ""
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case op == "publish" && (codeOf(err) == "PreconditionFailed" || statusOf(err) == http.StatusPreconditionFailed):
		err = exchange.ErrExists
	case errors.Is(err, exchange.ErrNotFound), errors.Is(err, exchange.ErrExists):
	default:
		class, hint = s.judge(op, err)
		if isCredentials(codeOf(err)) {
			s.renew()
		}
		err = &failure{brief(err), err}
	}
	return fault.New(class, op, s.config.place(name), err, hint)
}

// failure shortens an error of the SDK.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// brief leaves out URLs and what the fault already says.
func brief(err error) string {
	if refusal, ok := errors.AsType[smithy.APIError](err); ok {
		return describe(refusal, err)
	}
	if e, ok := errors.AsType[*credentialsError](err); ok {
		return "no credentials: " + strings.ReplaceAll(e.Error(), "\n", " ")
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err.Error()
	}
	if e, ok := errors.AsType[*smithy.OperationError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// describe returns the server's message, shortened, and the ids by which its operators can find the request.
func describe(refusal smithy.APIError, err error) string {
	const longest = 300
	text := refusal.ErrorCode()
	if message := refusal.ErrorMessage(); message != "" {
		text += ": " + strings.ToValidUTF8(message[:min(len(message), longest)], "")
	}
	if status := statusOf(err); status != 0 {
		text += fmt.Sprintf(" (%s answered by HTTP %d", operation(err), status)
		if response, ok := errors.AsType[*awshttp.ResponseError](err); ok && response.RequestID != "" {
			text += ", request " + response.RequestID
		}
		text += ")"
	}
	return text
}

// judge returns the class of a failure and the next step.
func (s *Store) judge(op string, err error) (fault.Class, string) {
	if class, hint, ok := judgeConnection(err); ok {
		return class, hint
	}
	if _, ok := errors.AsType[*credentialsError](err); ok {
		if statusOf(err) >= http.StatusInternalServerError {
			return fault.Transient, ""
		}
		return fault.Usage, "give the process AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role"
	}
	if _, ok := errors.AsType[*unclearError](err); ok {
		return fault.Usage, fmt.Sprintf("grant s3:ListBucket for the prefix %s* (without it, S3 answers the same for a missing object and for a denied one), and s3:GetObject", s.config.key(""))
	}
	code, status := codeOf(err), statusOf(err)
	switch {
	case code == accessDenied:
		return fault.Usage, s.grantHint(err)
	case op == "publish" && (code == "NotImplemented" || status == http.StatusNotImplemented):
		return fault.Usage, "this server knows no If-None-Match: let the store emulate create-if-absent (docs/s3.md says what is lost)"
	}
	if hint, ok := usageHints[code]; ok {
		return fault.Usage, strings.ReplaceAll(hint, "BUCKET", s.config.Bucket)
	}
	if strings.HasPrefix(code, "KMS.") {
		return fault.Usage, "see that the KMS key is enabled, in the bucket's region, and that the role may use it"
	}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return fault.Usage, "see what refuses, the server or a proxy or firewall before it, and have it let this through"
	}
	return fault.Transient, ""
}

func judgeConnection(err error) (fault.Class, string, bool) {
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return fault.Usage, fmt.Sprintf("the certificate is not for %q: correct the endpoint's host, or have the server certified for it", e.Host), true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return fault.Usage, "set ca_file to the certificate of the authority that signed the server's", true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fault.Usage, "the server's certificate is not valid (expired, or this machine's clock is wrong)", true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "HTTP response to HTTPS client") {
		return fault.Usage, "the endpoint doesn't speak TLS: correct its scheme or port", true
	}
	return 0, "", false
}

// isCredentials reports whether a code says that the key, token or secret is wrong or has expired.
func isCredentials(code string) bool {
	switch code {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "RequestExpired":
		return true
	default:
		return false
	}
}

const (
	keyHint    = "the server refuses the access key or its secret: see which one the process has (environment, profile) and for which server it is; it is read again at the next run"
	signHint   = "one of three: the secret is not the access key's (it is read again at the next run); a proxy or gateway on the way rewrites requests, which then no longer fit their signature; or a clock is wrong, here or there (compare `date -u`)"
	expireHint = "the credentials have expired: renew them (`aws sso login`, or the program that writes the profile); they are read again at the next run"
	regionHint = "set region to the bucket's own, or correct the endpoint"
)

// usageHints say what a person must do about permanent refusals.
var usageHints = map[string]string{
	"InvalidAccessKeyId":           keyHint,
	"SignatureDoesNotMatch":        signHint,
	"InvalidToken":                 keyHint,
	"ExpiredToken":                 expireHint,
	"ExpiredTokenException":        expireHint,
	"TokenRefreshRequired":         expireHint,
	"RequestExpired":               "set this machine's clock by NTP",
	"RequestTimeTooSkewed":         "set this machine's clock by NTP: S3 refuses requests that are off by more than 15 minutes",
	"NoSuchBucket":                 "correct the bucket's name, or create BUCKET: nothing here does",
	"InvalidBucketName":            "correct the bucket's name",
	"PermanentRedirect":            regionHint,
	"MovedPermanently":             regionHint,
	"IllegalLocationConstraint":    regionHint,
	"AuthorizationHeaderMalformed": regionHint,
	"AllAccessDisabled":            "ask the owner of BUCKET: all access is disabled",
	"AccountProblem":               "ask AWS: there is a problem with the account",
	"InvalidObjectState":           "restore the object from its archive class, and exempt the stream from the lifecycle rule that moved it there",
	"EntityTooLarge":               "export in smaller parts",
	"InvalidRequest":               "compare sse, object_lock and checksums with what BUCKET is set up for",
	"InvalidArgument":              "compare sse, object_lock and checksums with what BUCKET is set up for",
	"InvalidBucketState":           "compare object_lock with what BUCKET is set up for",
	"NotImplemented":               "this server lacks what is asked of it: see sse, object_lock and checksums",
	"MethodNotAllowed":             "an object lock or a policy of BUCKET forbids this",
}

// actions are the rights that the SDK's operations need, if the names differ.
var actions = map[string]string{
	"HeadObject":              "s3:GetObject (a write is confirmed by looking at what is there)",
	"ListObjectsV2":           "s3:ListBucket",
	"CreateMultipartUpload":   "s3:PutObject",
	"UploadPart":              "s3:PutObject",
	"CompleteMultipartUpload": "s3:PutObject",
}

func (s *Store) grantHint(err error) string {
	action, ok := actions[operation(err)]
	if !ok {
		action = "s3:" + operation(err)
	}
	hint := fmt.Sprintf("grant %s on %s to this role (deploy/s3 has a policy for each)", action, s.config.place(""))
	if s.config.ObjectLock.Days > 0 && action == "s3:PutObject" {
		hint += ", and s3:PutObjectRetention"
	}
	if s.config.SSE == "aws:kms" {
		hint += ", and kms:GenerateDataKey and kms:Decrypt on the key"
	}
	return hint
}
