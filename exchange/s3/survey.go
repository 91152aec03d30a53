package s3

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"waybill/exchange"
)

// Survey returns the objects in a folder, in no particular order and under any name but a hidden
// one. S3 has no folders: one without objects is empty.
func (s *Store) Survey(ctx context.Context, folder string) ([]exchange.Found, error) {
	if err := exchange.CheckFolder(folder); err != nil {
		return nil, err
	}
	err := s.Ready(ctx)
	var entries []exchange.Found
	if err == nil {
		entries, err = s.survey(ctx, s.config.folderKey(folder))
	}
	if err != nil {
		return nil, s.failed(ctx, "list", folder, err)
	}
	return entries, nil
}

func (s *Store) survey(ctx context.Context, prefix string) (entries []exchange.Found, err error) {
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket: &s.config.Bucket, Prefix: &prefix, Delimiter: aws.String("/"), EncodingType: types.EncodingTypeUrl,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, object := range page.Contents {
			key := aws.ToString(object.Key)
			if page.EncodingType == types.EncodingTypeUrl {
				if key, err = url.QueryUnescape(key); err != nil {
					continue // the server was not asked for this; no file of ours has such a key
				}
			}
			name, ok := strings.CutPrefix(key, prefix)
			if !ok || name == "" || strings.HasSuffix(name, "/") || exchange.IsHidden(name) { // some tools make an object for a folder
				continue
			}
			entries = append(entries, exchange.Found{Name: name, Size: aws.ToInt64(object.Size), Modified: aws.ToTime(object.LastModified)})
		}
	}
	return entries, nil
}

// Move copies an object and deletes the original, because S3 can't rename. A taken name is
// [exchange.ErrExists], a missing object [exchange.ErrNotFound]. After a crash in between there are
// two objects with the same content. S3 does not copy objects of more than 5 GiB.
func (s *Store) Move(ctx context.Context, from, to string) error {
	if err := errors.Join(exchange.CheckName(from), exchange.CheckName(to)); err != nil {
		return err
	}
	err := s.Ready(ctx)
	if err == nil {
		err = s.move(ctx, from, to)
	}
	if err != nil {
		return s.failed(ctx, "move", from, err)
	}
	return nil
}

func (s *Store) move(ctx context.Context, from, to string) error {
	if err := s.mustBeAbsent(ctx, to); err != nil {
		return err
	}
	source, err := s.open(ctx, from) // a server that keeps versions may copy a deleted object
	if err != nil {
		return err
	}
	_ = source.Close()
	one := s.config.object(to)
	_, err = s.client.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: one.Bucket, Key: one.Key, CopySource: aws.String(s.config.Bucket + "/" + url.PathEscape(s.config.key(from))),
		ServerSideEncryption: one.ServerSideEncryption, SSEKMSKeyId: one.SSEKMSKeyId,
		ObjectLockMode: one.ObjectLockMode, ObjectLockRetainUntilDate: one.ObjectLockRetainUntilDate,
		ChecksumAlgorithm: one.ChecksumAlgorithm,
	})
	if isMissing(err) || codeOf(err) == "NotFound" {
		return exchange.ErrNotFound
	}
	if err != nil {
		return err
	}
	_, err = s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.config.Bucket, Key: aws.String(s.config.key(from))})
	return err
}
