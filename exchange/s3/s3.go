// Package s3 keeps an exchange in a bucket of Amazon S3 or of a server that speaks its protocol.
// Objects appear whole, even if an upload breaks off. Create-if-absent is native (If-None-Match), or
// emulated if the configuration says so.
//
// Requests are tried once, except a conditional write that met another one (409): S3 demands that
// it is repeated. See docs/s3.md for rights and for what a bucket needs.
package s3

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"waybill/exchange"
	"waybill/exchange/wire"
)

// Config says where the store is and how to talk to it. Credentials come from the SDK's default
// chain: environment, shared files, SSO, web identity, container or machine role.
type Config struct {
	Bucket string // a bucket's name, or an access point's ARN
	Prefix string // the folder in the bucket that names are relative to; "" is the bucket itself
	// Region is AWS's name of it. "" takes the environment's or the profile's; if these name none and
	// there is a custom endpoint, us-east-1.
	Region string
	// Endpoint is the URL of a server other than AWS's: http[s]://host[:port]. "" takes the
	// environment's (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL) or AWS's.
	Endpoint string
	// AllowPlaintext is the reason for sending files to an http:// endpoint on another host; "" refuses that.
	AllowPlaintext string
	PathStyle      *bool     // bucket in the path, not in the host's name; nil: only with an endpoint
	Checksums      Checksums // which requests and responses carry the SDK's checksums
	Profile        string    // in the shared config files; "" takes AWS_PROFILE or the default one
	SSE            string    // server-side encryption: "" (the bucket's default), "AES256" or "aws:kms"
	KMSKey         string    // id or ARN of the key, with "aws:kms"; "" is the account's own
	// ObjectLock keeps every object written, receipts included, from being deleted or replaced for a time.
	ObjectLock ObjectLock
	CAFile     string // certificates in PEM that are trusted in addition to the system's
	// EmulatePublish checks the name and then puts, for servers that refuse or ignore If-None-Match.
	EmulatePublish bool
	// Times bound connecting (and obtaining credentials) and waiting for a byte.
	Times wire.Times
	Now   func() time.Time // nil: [time.Now]
}

// Checksums says when the SDK adds checksums to requests and checks those of responses.
type Checksums string

// The empty value means [WhenRequired] with an endpoint, else [WhenSupported].
const (
	WhenSupported Checksums = "supported" // always; what AWS asks for
	WhenRequired  Checksums = "required"  // only where S3 demands one: some other servers fail otherwise
)

// ObjectLock is a retention. The zero value is none.
type ObjectLock struct {
	Mode string // "GOVERNANCE" or "COMPLIANCE"
	Days int    // from the time of writing
}

// Store is an exchange in one bucket. It is safe for concurrent use, by any number of processes.
type Store struct {
	wire.HTTP
	config      Config
	client      *s3.Client
	credentials *aws.CredentialsCache
	signer      signer
}

var (
	_ exchange.Store     = (*Store)(nil)
	_ exchange.Deleter   = (*Store)(nil)
	_ exchange.Inspector = (*Store)(nil)
)

// key returns the object's key. The names of an exchange have no leading or trailing slash.
func (c *Config) key(name string) string {
	if c.Prefix == "" {
		return name
	}
	if name == "" {
		return c.Prefix
	}
	return c.Prefix + "/" + name
}

// folderKey returns the prefix of the keys in a folder.
func (c *Config) folderKey(folder string) string {
	if key := c.key(folder); key != "" {
		return key + "/"
	}
	return ""
}

// place returns the object as people name it.
func (c *Config) place(name string) string { return "s3://" + c.Bucket + "/" + c.key(name) }
