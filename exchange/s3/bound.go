package s3

import (
	"fmt"
	"io"
	"net/http"
)

// maxAnswer bounds a server's answer to a request. A page of a thousand keys takes a few MiB at most.
const maxAnswer = 16 << 20

// bounded limits answers other than objects to maxAnswer, because the SDK reads them whole into memory.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(r)
	if err == nil && !isObject(r, response) {
		response.Body = &answer{response.Body, maxAnswer}
	}
	return response, err
}

func isObject(r *http.Request, response *http.Response) bool {
	return r.Method == http.MethodGet && response.StatusCode < http.StatusMultipleChoices && r.URL.Query().Get("x-id") == "GetObject"
}

type answer struct {
	io.ReadCloser
	left int64
}

func (a *answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if a.left -= int64(n); a.left < 0 {
		return 0, fmt.Errorf("the server's answer has more than %d bytes", maxAnswer)
	}
	return n, err
}
