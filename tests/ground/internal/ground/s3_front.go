package ground

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mariadb-backup/ground/internal/layout"
)

// S3Front is what a front before the S3 server does to the requests.
type S3Front struct {
	// Target is the real server.
	Target string `json:"target"`
	// Status is the answer of a request that fails; 0 lets none fail.
	Status int `json:"status"`
	// Code is the error's code in its body.
	Code string `json:"code"`
	// Share is the part of the requests that fail.
	Share float64 `json:"share"`
	// Only names the requests meant: read, write or part; all when empty.
	Only string `json:"only"`
	// After is how many of the requests meant pass before the first fails.
	After int64 `json:"after"`
	// BytesPerSecond limits what goes to the server and comes from it; 0 is no limit.
	BytesPerSecond int64 `json:"bytesPerSecond"`
}

// s3Codes are the codes a server sends with a status when nothing else is wished.
var s3Codes = map[int]string{
	400: "ExpiredToken", 403: "AccessDenied", 404: "NoSuchBucket", 429: "SlowDown", 500: "InternalError", 503: "ServiceUnavailable", 507: "QuotaExceeded",
}

func (f S3Front) check() error {
	if f.Share <= 0 || f.Share > 1 || f.Status < 400 || f.Status > 599 {
		return fmt.Errorf("a share of %v and status %d are not failures of a server", f.Share, f.Status)
	}
	if !slices.Contains([]string{"", "read", "write", "part"}, f.Only) {
		return fmt.Errorf("requests are read, write or part, not %q", f.Only)
	}
	return nil
}

func (f S3Front) code() string {
	if f.Code != "" {
		return f.Code
	}
	if code, known := s3Codes[f.Status]; known {
		return code
	}
	return "MadeToFail"
}

// means tells whether a request is one of those that may fail.
func (f S3Front) means(r *http.Request) bool {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch f.Only {
	case "read":
		return reads
	case "write":
		return !reads
	case "part":
		return r.Method == http.MethodPut && strings.Contains(r.URL.RawQuery, "partNumber=")
	}
	return true
}

// handler fails every so many requests and passes the others on unchanged, with
// the Host header their signature covers.
func (f S3Front) handler() http.Handler {
	proxy := &httputil.ReverseProxy{Rewrite: func(request *httputil.ProxyRequest) {
		request.SetURL(&url.URL{Scheme: "http", Host: f.Target})
		request.Out.Host = request.In.Host
	}}
	limit := &pace{bytesPerSecond: f.BytesPerSecond}
	if f.BytesPerSecond > 0 {
		proxy.ModifyResponse = func(response *http.Response) error {
			response.Body = pacedBody{response.Body, limit}
			return nil
		}
	}
	var count atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.Status != 0 && f.means(r) && failsNow(count.Add(1)-f.After, f.Share) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(f.Status)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>made to fail</Message></Error>", f.code())
			return
		}
		if f.BytesPerSecond > 0 && r.Body != nil {
			r.Body = pacedBody{r.Body, limit}
		}
		proxy.ServeHTTP(w, r)
	})
}

// ServeFailingS3 is the front.
func ServeFailingS3(front S3Front) error {
	return http.ListenAndServe(fmt.Sprintf("%s:%d", layout.ControlIP, failingS3Port), front.handler())
}

// failsNow spreads the failures evenly, so that a test can count on them.
func failsNow(request int64, share float64) bool {
	return request > 0 && int64(float64(request)*share) > int64(float64(request-1)*share)
}

// pace is how fast all requests together may go.
type pace struct {
	bytesPerSecond int64
	mutex          sync.Mutex
	free           time.Time
}

// wait returns when so many more bytes fit the pace.
func (p *pace) wait(bytes int) {
	p.mutex.Lock()
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(bytes) / float64(p.bytesPerSecond) * float64(time.Second)))
	until := p.free
	p.mutex.Unlock()
	time.Sleep(time.Until(until))
}

type pacedBody struct {
	io.ReadCloser
	pace *pace
}

func (b pacedBody) Read(buffer []byte) (int, error) {
	const piece = 16 << 10
	if len(buffer) > piece {
		buffer = buffer[:piece]
	}
	n, err := b.ReadCloser.Read(buffer)
	b.pace.wait(n)
	return n, err
}
