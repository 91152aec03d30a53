package servers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"waybill/internal/fault"
)

// CA issues certificates. Only programs that are given File trust them.
type CA struct {
	File string // its own certificate, in PEM

	dir         string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Certificate names the files of a certificate and its key, in PEM.
type Certificate struct{ Cert, Key string }

// NewCA makes a certificate authority that keeps its files in dir.
func NewCA(dir string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, tlsFault("CA", err)
	}
	template := valid(pkix.Name{CommonName: "waybill test CA"}, 1)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, tlsFault("CA", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, tlsFault("CA", err)
	}
	ca := &CA{File: filepath.Join(dir, "ca.pem"), dir: dir, certificate: certificate, key: key}
	if err := writePEM(ca.File, "CERTIFICATE", der, 0o644); err != nil {
		return nil, tlsFault("CA", err)
	}
	return ca, nil
}

// Issue makes a certificate for host names and addresses, of which there is at least one. The
// files bear the first one's name.
func (ca *CA) Issue(hosts ...string) (Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, tlsFault(hosts[0], err)
	}
	template := valid(pkix.Name{CommonName: hosts[0]}, 2)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, key.Public(), ca.key)
	if err != nil {
		return Certificate{}, tlsFault(hosts[0], err)
	}
	files := Certificate{filepath.Join(ca.dir, hosts[0]+".pem"), filepath.Join(ca.dir, hosts[0]+".key")}
	if err := writePair(files, der, key); err != nil {
		return Certificate{}, tlsFault(hosts[0], err)
	}
	return files, nil
}

// valid is how long a certificate lasts: longer than any clock may be off.
func valid(subject pkix.Name, serial int64) *x509.Certificate {
	return &x509.Certificate{
		Subject:      subject,
		SerialNumber: big.NewInt(serial),
		NotBefore:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func writePair(files Certificate, der []byte, key *ecdsa.PrivateKey) error {
	if err := writePEM(files.Cert, "CERTIFICATE", der, 0o644); err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(files.Key, "PRIVATE KEY", private, 0o600)
}

func writePEM(file, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

func tlsFault(subject string, cause error) error {
	return fault.New(fault.Transient, "make certificate for", subject, cause, "")
}
