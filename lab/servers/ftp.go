package servers

import (
	"crypto/rand"
	"io"
	"os"
	"path/filepath"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// FTPOptions say how to run an FTP server.
type FTPOptions struct {
	Certificate Certificate // for TLS, which is then demanded; the zero value is plaintext
	Implicit    bool        // TLS from the first byte, and not after a command
	UploadOnly  bool        // existing files can be read, but not overwritten, renamed or deleted
	NoFolders   bool        // no folders can be made
	MaxClients  int         // more are refused; 0 is no limit
	DataPorts   int         // vsftpd: how many ports data connections are made on; 0 is any
	Log         io.Writer   // nil discards
}

func (o *FTPOptions) hasTLS() bool { return o.Certificate != Certificate{} }

// FTP is an FTP server with one login. It runs as an ordinary account and so can't lock its
// users into their folder: they land in it, and see the server's real paths.
type FTP struct {
	*Server
	User, Password string
	Files          string // the folder where logins land

	dataPort int // the first; 0: any
	dir      string
	in       installation
	account  child.Account
	options  FTPOptions
}

// prepareFTP gives the folder dir, with a folder for the files, to the account that servers run as.
func prepareFTP(kind, program, dir string, options FTPOptions) (*FTP, error) {
	in, err := find(kind, program)
	if err != nil {
		return nil, err
	}
	account, err := child.ServerAccount()
	if err != nil {
		return nil, err
	}
	f := &FTP{Password: rand.Text(), Files: filepath.Join(dir, "files"), dir: dir, in: in, account: account, options: options}
	if err := os.MkdirAll(f.Files, 0o755); err != nil {
		return nil, f.unprepared(err)
	}
	if err := account.Own(dir, f.Files); err != nil {
		return nil, f.unprepared(err)
	}
	if options.hasTLS() {
		return f, f.copyCertificate()
	}
	return f, nil
}

// copyCertificate makes copies that the account owns: a server refuses a key that it does not own.
func (f *FTP) copyCertificate() error {
	own := Certificate{filepath.Join(f.dir, "server.pem"), filepath.Join(f.dir, "server.key")}
	for from, to := range map[string]string{f.options.Certificate.Cert: own.Cert, f.options.Certificate.Key: own.Key} {
		data, err := os.ReadFile(from)
		if err == nil {
			err = f.write(filepath.Base(to), string(data))
		}
		if err != nil {
			return f.unprepared(err)
		}
	}
	f.options.Certificate = own
	return nil
}

// write makes a file in the server's folder that only the account can read.
func (f *FTP) write(name, text string) error {
	file := filepath.Join(f.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	return f.account.Own(file)
}

// Own makes the server's account the owner of files and folders.
func (f *FTP) Own(paths ...string) error { return f.account.Own(paths...) }

func (f *FTP) unprepared(cause error) error {
	return fault.New(fault.Transient, "prepare", f.dir, cause, "")
}

// yes is how vsftpd spells a flag.
func yes(flag bool) string {
	if flag {
		return "YES"
	}
	return "NO"
}

// on is how ProFTPD spells a flag.
func on(flag bool) string {
	if flag {
		return "on"
	}
	return "off"
}
