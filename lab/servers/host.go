package servers

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"waybill/internal/fault"
)

// Kinds are the kinds of hosts that `make servers` installs.
func Kinds() []string { return []string{"directory", "s3", "ftp", "sftp"} }

// AllKinds are these, and what needs Java.
func AllKinds() []string { return append(Kinds(), "hdfs") }

// Host is a server of some kind, or a directory, on which any number of exchanges can be made.
type Host struct {
	*Server // nil: it is a directory

	// Ports are all that the server listens on.
	Ports []int
	// Environment is what a process needs, as NAME=value, to open the exchanges.
	Environment []string

	exchange func(ctx context.Context, name string) (Exchange, error)
	stop     func(ctx context.Context) error
}

// Exchange says how to open an exchange, and where on this machine's disk its root is; HDFS keeps no such folder.
type Exchange struct{ URL, Password, Path string }

// At returns the same exchange by another address of its server.
func (e Exchange) At(host string) (Exchange, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return e, err
	}
	query := u.Query()
	if endpoint, err := url.Parse(query.Get("endpoint")); err == nil && endpoint.Host != "" {
		endpoint.Host = net.JoinHostPort(host, endpoint.Port())
		query.Set("endpoint", endpoint.String())
		u.RawQuery = query.Encode()
	} else {
		u.Host = net.JoinHostPort(host, u.Port())
	}
	return Exchange{u.String(), e.Password, e.Path}, nil
}

// Addresses are 127.0.0.1, where hosts listen, and others of the loopback, where something may
// stand in between.
func Addresses() []string {
	addresses := make([]string, 9)
	for i := range addresses {
		addresses[i] = fmt.Sprintf("127.0.0.%d", i+1)
	}
	return addresses
}

// StartHost starts a host of one of [AllKinds] that keeps all it has in dir, which the account that
// servers run as must be able to reach. FTP is through TLS, with a certificate for [Addresses],
// under which SSH's host key is known too.
func StartHost(ctx context.Context, kind, dir string) (*Host, error) {
	start, known := map[string]func(context.Context, string) (*Host, error){
		"directory": startDirectory, "s3": startS3Host, "ftp": startFTPHost, "sftp": startSFTPHost, "hdfs": startHDFSHost,
	}[kind]
	if !known {
		return nil, fault.New(fault.Usage, "start", "store", fmt.Errorf("there is no kind %q; there are %q", kind, AllKinds()), "")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fault.New(fault.Transient, "start", kind, err, "")
	}
	return start(ctx, dir)
}

// NewExchange makes an empty exchange.
func (h *Host) NewExchange(ctx context.Context, name string) (Exchange, error) {
	return h.exchange(ctx, name)
}

// Stop ends the server. Its files stay.
func (h *Host) Stop(ctx context.Context) error { return h.stop(ctx) }

func startDirectory(_ context.Context, dir string) (*Host, error) {
	return &Host{
		exchange: func(_ context.Context, name string) (Exchange, error) {
			path := filepath.Join(dir, name)
			return Exchange{URL: "file://" + path, Path: path}, os.MkdirAll(path, 0o755)
		},
		stop: func(context.Context) error { return nil },
	}, nil
}

func startS3Host(ctx context.Context, dir string) (*Host, error) {
	s, err := StartS3(ctx, dir, S3Options{})
	if err != nil {
		return nil, err
	}
	return s3Host(s), nil
}

func s3Host(s *S3) *Host {
	return &Host{
		Server: s.Server, Ports: []int{s.port},
		Environment: []string{"AWS_ACCESS_KEY_ID=" + S3Root.ID, "AWS_SECRET_ACCESS_KEY=" + S3Root.Secret},
		exchange: func(ctx context.Context, name string) (Exchange, error) {
			query := url.Values{"endpoint": {s.Endpoint()}, "region": {S3Region}}
			return Exchange{
				URL:  fmt.Sprintf("s3://%s/exchange?%s", name, query.Encode()),
				Path: filepath.Join(s.Folder(name), "exchange"),
			}, s.CreateBucket(ctx, name, false)
		},
		stop: s.Stop,
	}
}

func startFTPHost(ctx context.Context, dir string) (*Host, error) {
	ca, err := NewCA(dir)
	if err != nil {
		return nil, err
	}
	certificate, err := ca.Issue(append(Addresses(), "localhost")...)
	if err != nil {
		return nil, err
	}
	const dataPorts = 50
	f, err := StartVsftpd(ctx, filepath.Join(dir, "vsftpd"), FTPOptions{Certificate: certificate, DataPorts: dataPorts})
	if err != nil {
		return nil, err
	}
	ports := []int{f.port}
	for i := range dataPorts {
		ports = append(ports, f.dataPort+i)
	}
	return &Host{
		Server: f.Server, Ports: ports,
		exchange: func(_ context.Context, name string) (Exchange, error) {
			folder := filepath.Join(f.Files, name)
			if err := os.Mkdir(folder, 0o755); err != nil {
				return Exchange{}, err
			}
			query := url.Values{"ca_file": {ca.File}}
			return Exchange{
				URL:      fmt.Sprintf("ftps://%s@%s/~/%s?%s", f.User, f.Addr(), name, query.Encode()),
				Password: f.Password, Path: folder,
			}, f.Own(folder)
		},
		stop: f.Stop,
	}, nil
}

func startHDFSHost(ctx context.Context, dir string) (*Host, error) {
	return StartHDFSHost(ctx, dir, HDFSOptions{})
}

// StartHDFSHost starts a host of the kind hdfs with one DataNode.
func StartHDFSHost(ctx context.Context, dir string, options HDFSOptions) (*Host, error) {
	h, err := StartHDFS(ctx, dir, options)
	if err != nil {
		return nil, err
	}
	return h.host(h.Server), nil
}

// host is that of exchanges at the NameNode or the gateway.
func (h *HDFS) host(server *Server) *Host {
	return &Host{
		Server: server, Ports: []int{server.port, h.DataNodes[0].port},
		exchange: func(ctx context.Context, name string) (Exchange, error) {
			return Exchange{URL: fmt.Sprintf("hdfs://%s@%s/%s?datanodes=%s", HDFSUser, server.Addr(), name, h.options.Host)}, h.MakeFolder(ctx, "/"+name)
		},
		stop: h.Stop,
	}
}

func startSFTPHost(ctx context.Context, dir string) (*Host, error) {
	s, err := StartSFTP(ctx, filepath.Join(dir, "sshd"), SFTPOptions{})
	if err != nil {
		return nil, err
	}
	known := filepath.Join(dir, "known_hosts")
	if err := s.writeKnownHosts(known, Addresses()...); err != nil {
		return nil, err
	}
	return &Host{
		Server: s.Server, Ports: []int{s.port},
		exchange: func(_ context.Context, name string) (Exchange, error) {
			folder := filepath.Join(s.Files(), name)
			if err := os.Mkdir(folder, 0o755); err != nil {
				return Exchange{}, err
			}
			query := url.Values{"key": {s.KeyFile()}, "known_hosts": {known}}
			return Exchange{
				URL:  fmt.Sprintf("sftp://%s@%s/~/%s?%s", s.User(), s.Addr(), name, query.Encode()),
				Path: folder,
			}, s.account.Own(folder)
		},
		stop: s.Stop,
	}, nil
}

// writeKnownHosts pins the server's key under several addresses.
func (s *SFTP) writeKnownHosts(file string, hosts ...string) error {
	var lines []byte
	for _, host := range hosts {
		line, err := knownHost(net.JoinHostPort(host, strconv.Itoa(s.port)), s.hostKeyFile())
		if err != nil {
			return err
		}
		lines = append(lines, line+"\n"...)
	}
	return os.WriteFile(file, lines, 0o600)
}
