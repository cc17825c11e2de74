// Package pki makes the certificates of a ground: one authority, short-lived
// because a ground is, and one key for each part that talks to the API.
package pki

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
	"time"

	"mariadb-backup/ground/internal/layout"
)

// Identity is who a certificate is for.
type Identity struct {
	// File is the name of its files without .crt and .key.
	File  string
	Name  string
	Group string
	// Hosts are the names and addresses it serves as; empty for a client.
	Hosts []string
}

// Authority signs certificates.
type Authority struct {
	layout      layout.Layout
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

const validity = 365 * 24 * time.Hour

// NewAuthority makes an authority and writes its certificate.
func NewAuthority(l layout.Layout) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "ground-ca"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(validity),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	authority := &Authority{layout: l, certificate: certificate, key: key}
	return authority, authority.write("ca", der, key)
}

// Issue makes and writes a key and certificate.
func (a *Authority) Issue(identity Identity) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: identity.Name, Organization: groups(identity.Group)},
		NotBefore:    a.certificate.NotBefore,
		NotAfter:     a.certificate.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, host := range identity.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	return a.write(identity.File, der, key)
}

func groups(group string) []string {
	if group == "" {
		return nil
	}
	return []string{group}
}

func (a *Authority) write(file string, der []byte, key *ecdsa.PrivateKey) error {
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	parts := []struct {
		suffix, kind string
		content      []byte
		mode         os.FileMode
	}{{".crt", "CERTIFICATE", der, 0o644}, {".key", "EC PRIVATE KEY", encoded, 0o600}}
	for _, part := range parts {
		text := pem.EncodeToMemory(&pem.Block{Type: part.kind, Bytes: part.content})
		if err := layout.WriteFile(a.layout.PKI(file+part.suffix), text, part.mode); err != nil {
			return err
		}
	}
	return nil
}
