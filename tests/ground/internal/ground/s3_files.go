package ground

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"mariadb-backup/ground/internal/host"
)

// filerPort is where the S3 server's own file server listens: a way to its
// objects beside the S3 interface, for looking at them and for damaging them.
const filerPort = 8888

const (
	bucketFolder  = "/buckets/backups"
	uploadsFolder = ".uploads"
)

// S3Object is an object in the bucket, or an upload that was not finished.
type S3Object struct {
	Key  string `json:"key"`
	Size int64  `json:"size"`
}

// S3List lists the objects in the bucket.
func (g *Ground) S3List(namespace string) ([]S3Object, error) {
	objects := []S3Object{}
	return objects, g.walkFiler(namespace, bucketFolder, &objects)
}

// S3Uploads lists the multipart uploads that were neither finished nor given up.
func (g *Ground) S3Uploads(namespace string) ([]S3Object, error) {
	entries, err := g.filerEntries(namespace, bucketFolder+"/"+uploadsFolder)
	uploads := []S3Object{}
	for _, entry := range entries {
		uploads = append(uploads, S3Object{Key: path.Base(entry.FullPath)})
	}
	return uploads, err
}

// S3Remove removes an object behind everybody's back; with a slash at its end, all below it.
func (g *Ground) S3Remove(namespace, key string) error {
	where := bucketFolder + "/" + key
	if strings.HasSuffix(key, "/") {
		where += "?recursive=true&ignoreRecursiveError=true"
	}
	_, err := g.filer(namespace, http.MethodDelete, where, nil, "")
	return err
}

// S3Damage flips a bit in the middle of an object and keeps its length.
func (g *Ground) S3Damage(namespace, key string) error {
	content, err := g.filer(namespace, http.MethodGet, bucketFolder+"/"+key, nil, "")
	if err != nil {
		return err
	}
	if len(content) == 0 {
		return fmt.Errorf("object %s is empty, there is no bit to flip", key)
	}
	content[len(content)/2] ^= 1
	var form bytes.Buffer
	writer := multipart.NewWriter(&form)
	part, err := writer.CreateFormFile("file", path.Base(key))
	if err != nil {
		return err
	}
	if _, err := part.Write(content); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	_, err = g.filer(namespace, http.MethodPost, bucketFolder+"/"+key, &form, writer.FormDataContentType())
	return err
}

type filerEntry struct {
	FullPath string
	Mode     uint32
	FileSize int64
}

// isFolder tells by the bit Go sets for one, which is what the server records.
func (e filerEntry) isFolder() bool { return e.Mode&(1<<31) != 0 }

func (g *Ground) walkFiler(namespace, folder string, objects *[]S3Object) error {
	entries, err := g.filerEntries(namespace, folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		key := strings.TrimPrefix(entry.FullPath, bucketFolder+"/")
		switch {
		case key == uploadsFolder:
		case entry.isFolder():
			if err := g.walkFiler(namespace, entry.FullPath, objects); err != nil {
				return err
			}
		default:
			*objects = append(*objects, S3Object{Key: key, Size: entry.FileSize})
		}
	}
	return nil
}

func (g *Ground) filerEntries(namespace, folder string) ([]filerEntry, error) {
	text, err := g.filer(namespace, http.MethodGet, folder+"/?limit=10000", nil, "")
	if err != nil {
		if strings.HasSuffix(err.Error(), "404 Not Found") {
			return nil, nil
		}
		return nil, err
	}
	var list struct{ Entries []filerEntry }
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("cannot read the list of %s: %w", folder, err)
	}
	return list.Entries, nil
}

func (g *Ground) filer(namespace, method, where string, body io.Reader, contentType string) ([]byte, error) {
	address, err := g.s3Address(namespace)
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(fmt.Sprintf("http://%s:%d%s", address, filerPort, where))
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(context.Background(), method, target.String(), body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: host.DialThroughNodes, DisableKeepAlives: true,
	}}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s", method, where, response.Status)
	}
	return content, err
}
