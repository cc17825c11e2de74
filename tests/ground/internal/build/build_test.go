package build

import "testing"

func TestOnlySeriesThatDebianBringsAreTaken(t *testing.T) {
	for _, series := range []string{"10.5", "10.11", "11.8"} {
		if err := CheckSeries(series); err != nil {
			t.Error(err)
		}
	}
	for _, series := range []string{"", "10.6", "bookworm"} {
		if CheckSeries(series) == nil {
			t.Errorf("%q is taken", series)
		}
	}
}

func TestACacheKeyChangesWithItsSources(t *testing.T) {
	first, err := hashFiles([]string{"go.mod"}, "a")
	if err != nil {
		t.Fatal(err)
	}
	second, _ := hashFiles([]string{"go.mod"}, "b")
	third, _ := hashFiles([]string{"go.sum"}, "a")
	if first == second || first == third {
		t.Error("two keys are one")
	}
}
