package s3

import (
	"context"
	"io"
	"iter"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"waybill/exchange"
	"waybill/exchange/wire"
)

// Get opens an object. It must have the length that the server announced: a transfer that breaks
// off is an error.
//
// If a role may not list the whole bucket, S3 denies (403) a missing object just like one that it
// may not read. So Get looks for a denied object by listing its key. If it is not listed, the error
// is [exchange.ErrNotFound]; otherwise the error names the missing right.
func (s *Store) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := exchange.CheckName(name); err != nil {
		return nil, err
	}
	if err := s.Ready(ctx); err != nil {
		return nil, s.failed(ctx, "get", name, err)
	}
	file, err := s.open(ctx, name)
	if err != nil {
		return nil, s.failed(ctx, "get", name, err)
	}
	return file, nil
}

func (s *Store) open(ctx context.Context, name string) (io.ReadCloser, error) {
	out, err := s.getObject(ctx, name)
	if codeOf(err) == accessDenied {
		out, err = s.getDenied(ctx, name, err)
	}
	if isMissing(err) {
		return nil, exchange.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	length := int64(-1)
	if out.ContentLength != nil {
		length = *out.ContentLength
	}
	return &wire.Body{ReadCloser: out.Body, Context: ctx, Length: length, Failed: func(err error) error { return s.failed(ctx, "get", name, err) }}, nil
}

func (s *Store) getObject(ctx context.Context, name string) (*s3.GetObjectOutput, error) {
	return s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.config.Bucket, Key: aws.String(s.config.key(name))})
}

// getDenied finds out what the denial of a Get means. A listed object is requested once more: it
// may have been put meanwhile.
func (s *Store) getDenied(ctx context.Context, name string, denied error) (*s3.GetObjectOutput, error) {
	key := s.config.key(name)
	page, err := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.config.Bucket, Prefix: &key, MaxKeys: aws.Int32(1)})
	switch {
	case codeOf(err) == accessDenied:
		return nil, &unclearError{denied}
	case err != nil:
		return nil, err
	case len(page.Contents) == 0 || aws.ToString(page.Contents[0].Key) != key:
		return nil, exchange.ErrNotFound
	}
	return s.getObject(ctx, name)
}

// unclearError is a denial that may mean a missing object or a missing right.
type unclearError struct{ error }

func (e *unclearError) Unwrap() error { return e.error }

// List yields a page of at most a thousand names at a time.
func (s *Store) List(ctx context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := exchange.CheckFolder(folder); err != nil {
			yield("", err)
			return
		}
		err := s.Ready(ctx)
		if err == nil {
			err = s.pages(ctx, folder, func(name string) bool { return yield(name, nil) })
		}
		if err != nil {
			yield("", s.failed(ctx, "list", folder, err))
		}
	}
}

func (s *Store) pages(ctx context.Context, folder string, yield func(string) bool) error {
	prefix := s.config.folderKey(folder)
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket: &s.config.Bucket, Prefix: &prefix, Delimiter: aws.String("/"),
		EncodingType: types.EncodingTypeUrl, // XML can't represent every key that others may have put there
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for name := range names(page, prefix) {
			if !yield(name) {
				return nil
			}
		}
	}
	return nil
}

// names yields the base names of one page that an exchange can hold.
func names(page *s3.ListObjectsV2Output, prefix string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, object := range page.Contents {
			name, ok := baseName(page, aws.ToString(object.Key), prefix)
			if ok && !yield(name) {
				return
			}
		}
		for _, common := range page.CommonPrefixes {
			name, ok := baseName(page, strings.TrimSuffix(aws.ToString(common.Prefix), "/"), prefix)
			if ok && !yield(name+"/") {
				return
			}
		}
	}
}

// baseName also skips the object that some tools make for the folder itself.
func baseName(page *s3.ListObjectsV2Output, key, prefix string) (string, bool) {
	if page.EncodingType == types.EncodingTypeUrl {
		decoded, err := url.QueryUnescape(key)
		if err != nil {
			return "", false
		}
		key = decoded
	}
	name, ok := strings.CutPrefix(key, prefix)
	return name, ok && !strings.Contains(name, "/") && exchange.CheckName(name) == nil
}

// Tidy implements [exchange.Deleter]: there are no folders.
func (s *Store) Tidy(context.Context, string) {}

// Delete removes an object; if the bucket keeps versions, a marker hides it.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.Ready(ctx)
	if err == nil {
		_, err = s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.config.Bucket, Key: aws.String(s.config.key(name))})
	}
	if err != nil && !isMissing(err) {
		return s.failed(ctx, "delete", name, err)
	}
	return nil
}
