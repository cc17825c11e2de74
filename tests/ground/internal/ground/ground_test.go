package ground

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mariadb-backup/ground/internal/layout"
)

func goodMachine() machine {
	return machine{root: true, disk: 100 << 30, memory: 20 << 30, filesystems: "nodev overlay", loopControl: true, netns: true}
}

func TestAMachineWithEverythingIsNotRefused(t *testing.T) {
	if refusal := judge(layout.Layout{}, goodMachine()); refusal != nil {
		t.Fatalf("refused: %v", refusal)
	}
}

func TestEachMissingPrerequisiteIsRefusedWithWhatWhyAndWhatToDo(t *testing.T) {
	cases := map[string]struct {
		spoil func(*machine)
		want  string
	}{
		"root":    {func(m *machine) { m.root = false }, "sudo"},
		"program": {func(m *machine) { m.missing = []string{"containerd", "runc"} }, "apt-get install -y --no-install-recommends containerd runc"},
		"overlay": {func(m *machine) { m.filesystems = "ext4" }, "CONFIG_OVERLAY_FS"},
		"netns":   {func(m *machine) { m.netns = false }, "CONFIG_NET_NS"},
		"loop":    {func(m *machine) { m.loopControl = false }, "modprobe loop"},
		"disk":    {func(m *machine) { m.disk = 1 << 30 }, "only 1024 MiB are free"},
		"memory":  {func(m *machine) { m.memory = 1 << 30 }, "only 1024 MiB of memory"},
		"other":   {func(m *machine) { m.other = "/elsewhere" }, "GROUND_STATE=/elsewhere ground down"},
	}
	for name, c := range cases {
		seen := goodMachine()
		c.spoil(&seen)
		refusal := judge(layout.Layout{}, seen)
		if refusal == nil {
			t.Errorf("%s: not refused", name)
			continue
		}
		text := refusal.Error()
		if !strings.Contains(text, c.want) || !strings.Contains(text, "why:") || !strings.Contains(text, "do:") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestNodesAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]int{"1": 1, "node-3": 3} {
		if n, err := ParseNode(text); err != nil || n != want {
			t.Errorf("%q is %d, %v", text, n, err)
		}
	}
	for _, text := range []string{"", "0", "4", "node-", "two"} {
		if _, err := ParseNode(text); err == nil {
			t.Errorf("%q is taken for a node", text)
		}
	}
}

func TestFaultNamesSayWhatAndOnWhat(t *testing.T) {
	for want, name := range map[string]string{
		"node-off:3":              faultName(faultNodeOff, "3"),
		"api-down":                faultName(faultAPIDown, ""),
		"volume-fill:demo-data-0": faultName(faultFill, "demo-data-0"),
	} {
		if name != want {
			t.Errorf("%q, not %q", name, want)
		}
	}
}

func TestEveryLastingFaultCanBeUndone(t *testing.T) {
	menders := (&Ground{}).menders()
	for _, kind := range []string{
		faultNodeOff, faultKubeletStop, faultPartition, faultAPIDown, faultFill, faultReadOnly, faultSlow, faultS3Stop, faultS3Fail, faultS3Slow,
	} {
		if menders[kind] == nil {
			t.Errorf("%s has no mender", kind)
		}
	}
}

func TestFailuresAreSpreadEvenly(t *testing.T) {
	var answers strings.Builder
	for request := int64(1); request <= 8; request++ {
		if failsNow(request, 0.25) {
			answers.WriteByte('x')
		} else {
			answers.WriteByte('.')
		}
	}
	if answers.String() != "...x...x" {
		t.Errorf("a quarter of the failures: %s", answers.String())
	}
	if !failsNow(1, 1) || !failsNow(2, 1) {
		t.Error("a share of 1 does not fail every request")
	}
}

func TestAStatusIsHealthyOnlyWhenAllOfItIs(t *testing.T) {
	healthy := Status{API: true, Nodes: 3, NodesWanted: 3, Replicas: 3, ReplicasWanted: 3, S3: true, DNS: true}
	if !healthy.Healthy() {
		t.Error("a healthy ground is called unhealthy")
	}
	faulty := healthy
	faulty.Faults = []string{"node-off:3"}
	short := healthy
	short.Replicas = 2
	for _, status := range []Status{faulty, short, {}} {
		if status.Healthy() {
			t.Errorf("called healthy: %+v", status)
		}
	}
}

func TestAFrontFailsOnlyTheRequestsMeantAndOnlyAfterSoMany(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	defer server.Close()
	front := S3Front{Target: strings.TrimPrefix(server.URL, "http://"), Status: 400, Share: 1, Only: "part", After: 1}
	if err := front.check(); err != nil {
		t.Fatal(err)
	}
	handler := front.handler()
	ask := func(method, path string) (int, string) {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader("bytes")))
		return recorder.Code, recorder.Body.String()
	}
	for _, request := range []struct {
		method, path string
		want         int
	}{
		{"PUT", "/backups/key?partNumber=1&uploadId=u", 200},
		{"PUT", "/backups/key", 200},
		{"GET", "/backups/key?partNumber=1", 200},
		{"PUT", "/backups/key?partNumber=2&uploadId=u", 400},
	} {
		code, body := ask(request.method, request.path)
		if code != request.want {
			t.Errorf("%s %s: %d, not %d", request.method, request.path, code, request.want)
		}
		if code == 200 && body != "bytes" || code == 400 && !strings.Contains(body, "<Code>ExpiredToken</Code>") {
			t.Errorf("%s %s: %s", request.method, request.path, body)
		}
	}
}

func TestAFrontThatCannotFailIsRefused(t *testing.T) {
	for _, front := range []S3Front{{Status: 200, Share: 1}, {Status: 503}, {Status: 503, Share: 2}, {Status: 503, Share: 1, Only: "all"}} {
		if front.check() == nil {
			t.Errorf("not refused: %+v", front)
		}
	}
}
