package servers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

func (s *S3) iamSocket() string { return filepath.Join(s.dir, "iam.sock") }

func (s *S3) iamCommand(port int) (*exec.Cmd, error) {
	return s.command("--quiet", "--region", S3Region, "--port", "127.0.0.1:"+strconv.Itoa(port),
		"iam", "--dir", filepath.Join(s.dir, "iam"), "--private-ports", s.iamSocket()), nil
}

// AddUser makes a user of the S3 server, started with Users, who may do what an IAM policy
// grants and nothing else.
func (s *S3) AddUser(ctx context.Context, name string, policy []byte) (S3Key, error) {
	if _, err := s.ask(ctx, "CreateUser", url.Values{"UserName": {name}}); err != nil {
		return S3Key{}, err
	}
	_, err := s.ask(ctx, "PutUserPolicy", url.Values{"UserName": {name}, "PolicyName": {name}, "PolicyDocument": {string(policy)}})
	if err != nil {
		return S3Key{}, err
	}
	data, err := s.ask(ctx, "CreateAccessKey", url.Values{"UserName": {name}})
	if err != nil {
		return S3Key{}, err
	}
	var answer struct {
		ID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
		Secret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`
	}
	if err := xml.Unmarshal(data, &answer); err != nil {
		return S3Key{}, err
	}
	return S3Key(answer), nil
}

// ask sends one request of the IAM API, whose form is AWS's "query".
func (s *S3) ask(ctx context.Context, action string, form url.Values) ([]byte, error) {
	form.Set("Action", action)
	form.Set("Version", "2010-05-08")
	body := []byte(form.Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.iam.Addr()+"/", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	credentials, err := S3Root.provider().Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	hash := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(hash[:]), "iam", S3Region, time.Now())
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", action, response.Status, data)
	}
	return data, err
}
