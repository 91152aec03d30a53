package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jlaffaye/ftp"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"waybill/exchange/wire"
	"waybill/lab/servers"
)

// openBare returns the ordinary client of a kind of server, with the settings of its library.
func openBare(kind string, e servers.Exchange) (mover, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "directory":
		return bareDirectory(e.Path), nil
	case "s3":
		return bareS3{s3.New(s3.Options{
			Region: servers.S3Region, BaseEndpoint: aws.String(u.Query().Get("endpoint")), UsePathStyle: true,
			RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: servers.S3Root.ID, SecretAccessKey: servers.S3Root.Secret}, nil
			}),
		}), u.Host}, nil
	case "ftp":
		roots, err := wire.Roots(u.Query().Get("ca_file"))
		if err != nil {
			return nil, err
		}
		host := u.Hostname()
		c, err := ftp.Dial(u.Host, ftp.DialWithExplicitTLS(&tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(1)}))
		if err == nil {
			err = c.Login(u.User.Username(), e.Password)
		}
		return bareFTP{c, strings.TrimPrefix(u.Path, "/~/")}, err
	case "sftp":
		return openBareSFTP(u)
	case "hdfs":
		return bareHDFS{&url.URL{Scheme: "http", Host: u.Host, Path: "/webhdfs/v1" + u.Path, RawQuery: "user.name=" + u.User.Username()}}, nil
	}
	return nil, fmt.Errorf("no bare client for %q", kind)
}

func bareName(n int64) string { return fmt.Sprint("bare-", n) }

type bareDirectory string

func (d bareDirectory) put(_ context.Context, n int64, file *os.File) error {
	to, err := os.Create(filepath.Join(string(d), bareName(n)))
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.NewSectionReader(file, 0, partBytes))
	return errors.Join(err, to.Sync(), to.Close())
}

func (d bareDirectory) get(_ context.Context, n int64, to io.Writer) error {
	file, err := os.Open(filepath.Join(string(d), bareName(n)))
	if err != nil {
		return err
	}
	return copied(to, file)
}

func (bareDirectory) Close() error { return nil }

func copied(to io.Writer, from io.ReadCloser) error {
	n, err := io.Copy(struct{ io.Writer }{to}, from) // the kernel does not copy from file to file
	if err == nil && n != partBytes {
		err = io.ErrUnexpectedEOF
	}
	return errors.Join(err, from.Close())
}

type bareS3 struct {
	*s3.Client
	bucket string
}

func (c bareS3) put(ctx context.Context, n int64, file *os.File) error {
	_, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: &c.bucket, Key: aws.String(bareName(n)), Body: io.NewSectionReader(file, 0, partBytes), ContentLength: aws.Int64(partBytes)})
	return err
}

func (c bareS3) get(ctx context.Context, n int64, to io.Writer) error {
	out, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: &c.bucket, Key: aws.String(bareName(n))})
	if err != nil {
		return err
	}
	return copied(to, out.Body)
}

func (bareS3) Close() error { return nil }

type bareFTP struct {
	*ftp.ServerConn
	folder string
}

func (c bareFTP) put(_ context.Context, n int64, file *os.File) error {
	return c.Stor(c.folder+"/"+bareName(n), io.NewSectionReader(file, 0, partBytes))
}

func (c bareFTP) get(_ context.Context, n int64, to io.Writer) error {
	file, err := c.Retr(c.folder + "/" + bareName(n))
	if err != nil {
		return err
	}
	return copied(to, file)
}

func (c bareFTP) Close() error { return c.Quit() }

type bareSFTP struct {
	*sftp.Client
	conn   *ssh.Client
	folder string
}

func (c bareSFTP) Close() error { return errors.Join(c.Client.Close(), c.conn.Close()) }

func openBareSFTP(u *url.URL) (mover, error) {
	text, err := os.ReadFile(u.Query().Get("key"))
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, err
	}
	conn, err := ssh.Dial("tcp", u.Host, &ssh.ClientConfig{
		User: u.User.Username(), Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		return nil, err
	}
	c, err := sftp.NewClient(conn, sftp.UseConcurrentWrites(true))
	return bareSFTP{c, conn, strings.TrimPrefix(u.Path, "/~/")}, err
}

func (c bareSFTP) put(_ context.Context, n int64, file *os.File) error {
	to, err := c.Create(c.folder + "/" + bareName(n))
	if err != nil {
		return err
	}
	_, err = to.ReadFrom(io.NewSectionReader(file, 0, partBytes))
	return errors.Join(err, to.Sync(), to.Close())
}

func (c bareSFTP) get(_ context.Context, n int64, to io.Writer) error {
	file, err := c.Open(c.folder + "/" + bareName(n))
	if err != nil {
		return err
	}
	_, err = file.WriteTo(to)
	return errors.Join(err, file.Close())
}

type bareHDFS struct{ folder *url.URL }

func (c bareHDFS) do(ctx context.Context, n int64, method, op string, body io.Reader) (*http.Response, error) {
	u := c.folder.JoinPath(bareName(n))
	u.RawQuery += "&op=" + op
	if body != nil { // where to?
		answer, err := send(ctx, method, u.String(), nil, http.StatusTemporaryRedirect)
		if err != nil {
			return nil, err
		}
		to, err := answer.Location()
		if err = errors.Join(err, answer.Body.Close()); err != nil {
			return nil, err
		}
		return send(ctx, method, to.String(), body, http.StatusCreated)
	}
	return send(ctx, method, u.String(), nil, http.StatusOK)
}

func send(ctx context.Context, method, u string, body io.Reader, want int) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, err
	}
	r.ContentLength = 0
	if body != nil {
		r.ContentLength = partBytes
	}
	client := &http.Client{}
	if method == http.MethodPut {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	answer, err := client.Do(r)
	if err == nil && answer.StatusCode != want {
		err = errors.Join(fmt.Errorf("%s was answered by %s", method, answer.Status), answer.Body.Close())
	}
	return answer, err
}

func (c bareHDFS) put(ctx context.Context, n int64, file *os.File) error {
	answer, err := c.do(ctx, n, http.MethodPut, "CREATE&overwrite=true", io.NewSectionReader(file, 0, partBytes))
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

func (c bareHDFS) get(ctx context.Context, n int64, to io.Writer) error {
	answer, err := c.do(ctx, n, http.MethodGet, "OPEN", nil)
	if err != nil {
		return err
	}
	return copied(to, answer.Body)
}

func (bareHDFS) Close() error { return nil }
