package ground

import (
	"fmt"
	"time"
)

// waitUntil asks again and again whether something is so, for a limited time.
func waitUntil(limit time.Duration, what string, so func() (bool, error)) error {
	for deadline := time.Now().Add(limit); ; {
		done, err := so()
		if err != nil {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
		if done {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %s it is not so that %s", limit, what)
		}
		time.Sleep(150 * time.Millisecond)
	}
}

// WaitHealthy waits until everything is ready again.
func (g *Ground) WaitHealthy(limit time.Duration) error {
	return waitUntil(limit, "the ground is healthy", func() (bool, error) { return g.Status().Healthy(), nil })
}
