// Package story tells a person what the ground is doing, on stderr, so that
// stdout stays free for what a shell or a program reads.
package story

import (
	"fmt"
	"os"
	"time"
)

var began = time.Now()

// Say prints one line with the seconds since the program started.
func Say(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, "%6.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, arguments...))
}
