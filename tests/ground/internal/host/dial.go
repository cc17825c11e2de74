package host

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"mariadb-backup/ground/internal/layout"
)

const dialTimeout = 2 * time.Second

// lastGoodNode is the node whose network was reached last, counted from 0.
var lastGoodNode atomic.Int64

// DialThroughNodes connects to a pod or Service from inside a node's network
// namespace, the only place where such addresses lead anywhere. A node that is
// off or cut off is passed over for the next.
func DialThroughNodes(ctx context.Context, network, address string) (connection net.Conn, err error) {
	for range layout.NodeCount {
		n := int(lastGoodNode.Load())%layout.NodeCount + 1
		err = InNetns(layout.NodeNetns(n), func() (err error) {
			dialer := net.Dialer{Timeout: dialTimeout}
			connection, err = dialer.DialContext(ctx, network, address)
			return err
		})
		if err == nil {
			return connection, nil
		}
		lastGoodNode.Add(1)
	}
	return nil, err
}
