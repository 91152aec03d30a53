package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	transfertypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"waybill/exchange"
)

const (
	singleLimit = 64 << 20 // sent in one request, if the body can be read twice
	partSize    = 8 << 20
	partsAtOnce = 3 // parts in memory: these, one being read, and one waiting
	// abortTime is below the second in which a cancelled call must return.
	abortTime = 700 * time.Millisecond
)

// Put replaces an existing object. A body that is an [io.Seeker] of at most 64 MiB is sent in one
// request; others are sent in parts of 8 MiB (larger beyond 80 GB), a few of them in memory. A
// failed upload in parts is aborted.
func (s *Store) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.Ready(ctx)
	if err == nil {
		err = s.put(ctx, name, size, body)
	}
	if err == nil {
		err = s.confirm(ctx, name, size)
	}
	if err != nil {
		return s.failed(ctx, "put", name, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, name string, size int64, body io.Reader) error {
	if size <= singleLimit {
		if whole, ok := rewindable(ctx, body); ok {
			return s.putWhole(ctx, name, size, whole)
		}
	}
	return s.putParts(ctx, name, size, exchange.Exactly(ctx, body, size))
}

func (s *Store) putWhole(ctx context.Context, name string, size int64, body *source) error {
	if n, err := body.length(); err != nil || n != size {
		return errors.Join(err, fmt.Errorf("the source has %d bytes, not %d", n, size))
	}
	input := s.config.object(name)
	input.Body, input.ContentLength = body, &size
	_, err := s.client.PutObject(ctx, input)
	return err
}

// object returns a request to put an object with the configured settings.
func (c *Config) object(name string) *s3.PutObjectInput {
	input := &s3.PutObjectInput{
		Bucket:               &c.Bucket,
		Key:                  aws.String(c.key(name)),
		ServerSideEncryption: types.ServerSideEncryption(c.SSE),
	}
	if c.KMSKey != "" {
		input.SSEKMSKeyId = &c.KMSKey
	}
	if until, ok := c.lockedUntil(); ok {
		input.ObjectLockMode = types.ObjectLockMode(c.ObjectLock.Mode)
		input.ObjectLockRetainUntilDate = &until
		input.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32 // S3 demands one here
	}
	return input
}

func (c *Config) lockedUntil() (time.Time, bool) {
	days := c.ObjectLock.Days
	return c.Now().UTC().AddDate(0, 0, days), days > 0
}

// putParts is the only use of the transfer manager.
func (s *Store) putParts(ctx context.Context, name string, size int64, body io.Reader) error {
	one := s.config.object(name)
	manager := transfermanager.New(s.client, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold, o.Concurrency = partSize, partSize, partsAtOnce
		o.FailTimeout = abortTime
		o.RequestChecksumCalculation = s.client.Options().RequestChecksumCalculation
	})
	_, err := manager.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: one.Bucket, Key: one.Key, Body: body, ContentLength: &size,
		ServerSideEncryption:      transfertypes.ServerSideEncryption(one.ServerSideEncryption),
		SSEKMSKeyID:               one.SSEKMSKeyId,
		ObjectLockMode:            transfertypes.ObjectLockMode(one.ObjectLockMode),
		ObjectLockRetainUntilDate: one.ObjectLockRetainUntilDate,
		ChecksumAlgorithm:         transfertypes.ChecksumAlgorithm(one.ChecksumAlgorithm),
	})
	return err
}

// confirm asks the server how many bytes it has.
func (s *Store) confirm(ctx context.Context, name string, size int64) error {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.config.Bucket, Key: aws.String(s.config.key(name))})
	if err != nil {
		return err
	}
	if got := aws.ToInt64(out.ContentLength); got != size {
		return fmt.Errorf("%d of %d bytes were stored", got, size)
	}
	return nil
}

// Publish creates an object on condition that there is none (If-None-Match: *), which is native.
// With EmulatePublish it checks the name and then puts. If several publish at once, the last one
// stays, and the others find out by reading back.
func (s *Store) Publish(ctx context.Context, name string, data []byte) error {
	if err := exchange.CheckName(name); err != nil {
		return err
	}
	err := s.Ready(ctx)
	if err == nil {
		err = s.publish(ctx, name, data)
	}
	if err != nil {
		return s.failed(ctx, "publish", name, err)
	}
	return nil
}

func (s *Store) publish(ctx context.Context, name string, data []byte) error {
	input := s.config.object(name)
	if s.config.EmulatePublish {
		if err := s.mustBeAbsent(ctx, name); err != nil {
			return err
		}
	} else {
		input.IfNoneMatch = aws.String("*")
	}
	input.Body, input.ContentLength = bytes.NewReader(data), aws.Int64(int64(len(data)))
	_, err := s.client.PutObject(ctx, input)
	return err
}

func (s *Store) mustBeAbsent(ctx context.Context, name string) error {
	file, err := s.open(ctx, name)
	if errors.Is(err, exchange.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(exchange.ErrExists, file.Close())
}
