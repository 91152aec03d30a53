package store

import (
	"net/url"
	"strconv"
	"strings"

	"waybill/exchange/s3"
)

// openS3 opens "s3://bucket/folder". The SDK finds the credentials itself.
func openS3(u *url.URL, o *options, c Config) (Driver, error) {
	config := s3.Config{
		Bucket: u.Host, Prefix: c.under(strings.Trim(u.Path, "/")),
		Region: o.text("region"), Endpoint: o.text("endpoint"), Profile: o.text("profile"),
		PathStyle:  o.optionalFlag("path_style"),
		Checksums:  s3.Checksums(o.oneOf("checksums", string(s3.WhenSupported), string(s3.WhenRequired))),
		SSE:        o.oneOf("sse", "AES256", "aws:kms"),
		KMSKey:     o.text("kms_key"),
		ObjectLock: objectLock(o),
		CAFile:     o.text("ca_file"), EmulatePublish: o.flag("emulate_publish"), AllowPlaintext: c.AllowPlaintext,
	}
	if u.User != nil {
		o.fail("keys are not part of an S3 URL: the AWS SDK's environment and files have them")
	}
	if u.Host == "" {
		o.fail("the URL names no bucket")
	}
	if err := o.done(); err != nil {
		return nil, err
	}
	return s3.Open(config)
}

// objectLock reads "governance:30" or "compliance:30", in days.
func objectLock(o *options) s3.ObjectLock {
	text := o.text("object_lock")
	if text == "" {
		return s3.ObjectLock{}
	}
	mode, days, _ := strings.Cut(text, ":")
	n, err := strconv.Atoi(days)
	if mode = strings.ToUpper(mode); err != nil || n < 1 || mode != "GOVERNANCE" && mode != "COMPLIANCE" {
		o.fail("object_lock is governance:DAYS or compliance:DAYS")
	}
	return s3.ObjectLock{Mode: mode, Days: n}
}
