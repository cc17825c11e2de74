package host

import (
	"slices"
	"testing"
)

func TestMountPointsAreFoundDeepestFirst(t *testing.T) {
	mountinfo := `22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 0:5 / /state/volumes rw - ext4 x rw
31 30 7:1 / /state/volumes/a\040b rw - ext4 /dev/loop1 rw
32 22 0:6 / /statement rw - tmpfs tmpfs rw
`
	found := mountPointsIn(mountinfo, "/state")
	if want := []string{"/state/volumes/a b", "/state/volumes"}; !slices.Equal(found, want) {
		t.Errorf("%q, not %q", found, want)
	}
}
