package s3

import (
	"context"
	"io"
)

// source is a body that can be read again: to sign it, and to repeat a request. Reading ends with
// its context. After a request the SDK does not read it any more.
type source struct {
	ctx context.Context
	io.Seeker
	body io.Reader
}

// rewindable returns body as a source, if it is one. A pipe is a Seeker that can't seek.
func rewindable(ctx context.Context, body io.Reader) (*source, bool) {
	seeker, ok := body.(io.Seeker)
	if !ok {
		return nil, false
	}
	if _, err := seeker.Seek(0, io.SeekCurrent); err != nil {
		return nil, false
	}
	return &source{ctx, seeker, body}, true
}

func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.body.Read(p)
}

// length returns how many bytes are left to read.
func (s *source) length() (int64, error) {
	here, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	end, err := s.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	_, err = s.Seek(here, io.SeekStart)
	return end - here, err
}
