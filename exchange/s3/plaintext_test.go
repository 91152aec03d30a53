package s3_test

import (
	"strings"
	"testing"

	"waybill/exchange/s3"
	"waybill/internal/fault"
)

// A token that went over the line once is everybody's.
func TestAnEndpointInTheClearNeedsAReason(t *testing.T) {
	for endpoint, clear := range map[string]bool{
		"http://s3.example.org": true, "http://10.1.2.3:9000": true, "http://localhost.example.org": true,
		"https://s3.example.org": false, "http://127.0.0.1:9000": false, "http://127.8.0.1": false, "http://[::1]:9000": false, "http://localhost:9000": false,
	} {
		for _, named := range []bool{true, false} { // by the URL, or by the environment
			config := s3.Config{Bucket: "exchange", Region: "eu-central-1", Endpoint: endpoint}
			t.Setenv("AWS_ENDPOINT_URL_S3", "")
			if !named {
				config.Endpoint = ""
				t.Setenv("AWS_ENDPOINT_URL_S3", endpoint)
			}
			_, err := s3.Open(config)
			if clear != (err != nil) || clear && (fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "allow_plaintext")) {
				t.Errorf("%s, by the URL %v: %v, next: %q", endpoint, named, err, fault.HintOf(err))
			}
			config.AllowPlaintext = "a test"
			if _, err := s3.Open(config); err != nil {
				t.Errorf("%s with a reason: %v", endpoint, err)
			}
		}
	}
}
