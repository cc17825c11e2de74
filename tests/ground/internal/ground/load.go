package ground

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"mariadb-backup/ground/internal/database"
	"mariadb-backup/ground/internal/host"
	"mariadb-backup/ground/internal/story"
	"mariadb-backup/ground/internal/workload"
)

// loadTable is one table of the made-up shop. The server makes the rows itself:
// nothing crosses the network but the wish.
type loadTable struct {
	name   string
	create string
	// columns is what one row of seq, numbered from a base, is turned into.
	columns string
	// rowBytes is what a row takes on disk with its indexes, measured.
	rowBytes int
	// share is the table's part of the whole.
	share float64
}

var loadTables = []loadTable{
	{
		name: "orders", rowBytes: 1000, share: 0.6,
		create: `(id BIGINT PRIMARY KEY, uuid CHAR(36) NOT NULL, customer BIGINT NOT NULL, state VARCHAR(16) NOT NULL,
			created DATETIME(6) NOT NULL, body JSON NOT NULL, KEY (customer), KEY (created))`,
		columns: `UUID(), FLOOR(RAND()*100000), ELT(1+FLOOR(RAND()*4),'ACTIVE','PENDING','SHIPPED','ERROR'),
			'2026-01-01' + INTERVAL seq*7 SECOND,
			JSON_OBJECT('id', UUID(), 'project_id', MD5(seq MOD 50), 'user_id', MD5(seq MOD 977), 'status', ELT(1+FLOOR(RAND()*3),'ACTIVE','BUILD','ERROR'),
			'addresses', JSON_ARRAY(JSON_OBJECT('addr', CONCAT('10.', seq MOD 250, '.', FLOOR(RAND()*250), '.', FLOOR(RAND()*250)), 'version', 4, 'type', 'fixed')),
			'metadata', JSON_OBJECT('image_ref', SHA2(seq MOD 40, 256), 'availability_zone', CONCAT('zone-', seq MOD 3), 'description', 'instance created by the orchestration service on request of the tenant'),
			'checksum', SHA2(RAND(), 256), 'links', JSON_ARRAY(CONCAT('/v2.1/servers/', UUID()), CONCAT('/servers/', UUID())))`,
	},
	{
		name: "events", rowBytes: 330, share: 0.3,
		create: `(id BIGINT PRIMARY KEY, created DATETIME(6) NOT NULL, level VARCHAR(8) NOT NULL, request CHAR(40) NOT NULL, message VARCHAR(255) NOT NULL, KEY (created))`,
		columns: `'2026-01-01' + INTERVAL seq SECOND, ELT(1+FLOOR(RAND()*3),'INFO','WARNING','ERROR'), CONCAT('req-', UUID()),
			CONCAT('instance ', UUID(), ' took ', FLOOR(RAND()*100000), ' ms to spawn on host compute-', seq MOD 120, ', claim of ', FLOOR(RAND()*64), ' cores and ', FLOOR(RAND()*262144), ' MB succeeded')`,
	},
	{
		name: "measures", rowBytes: 75, share: 0.1,
		create:  `(id BIGINT PRIMARY KEY, series INT NOT NULL, value DOUBLE NOT NULL, digits DECIMAL(20,6) NOT NULL, KEY (series))`,
		columns: `FLOOR(RAND()*5000), RAND()*1000, RAND()*100000000`,
	},
}

// loadChunkBytes keeps one write-set far below what Galera refuses.
const loadChunkBytes = 4 << 20

// loadTimeout is for one chunk while the cluster throttles.
const loadTimeout = 2 * time.Minute

// Load adds so many megabytes of made-up data to a cluster.
func (g *Ground) Load(namespace, statefulSet string, megabytes int) error {
	pod, err := g.pod(namespace, statefulSet+"-0")
	if err != nil {
		return err
	}
	login := database.Login{
		User: "application", Password: workload.Password(g.Settings.Seed, namespace, "application"),
		Address: pod.Status.PodIP + ":3306", Database: "shop",
	}
	pool, err := database.Open(login, loadTimeout)
	if err != nil {
		return err
	}
	defer pool.Close()
	began := time.Now()
	var loads []func() error
	for _, table := range loadTables {
		loads = append(loads, func() error { return table.load(pool, float64(megabytes)*1e6) })
	}
	if err := host.Parallel(loads...); err != nil {
		return fmt.Errorf("cannot load: %w", err)
	}
	story.Say("loaded %d MB in %.1f s", megabytes, time.Since(began).Seconds())
	return nil
}

func (t loadTable) load(pool *sql.DB, bytes float64) error {
	ctx := context.Background()
	connection, err := pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer connection.Close()
	if _, err := connection.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+t.name+" "+t.create+" ENGINE=InnoDB"); err != nil {
		return err
	}
	var last int64
	if err := connection.QueryRowContext(ctx, "SELECT COALESCE(MAX(id), 0) FROM "+t.name).Scan(&last); err != nil {
		return err
	}
	chunk := int64(loadChunkBytes / t.rowBytes)
	for rows := int64(bytes * t.share / float64(t.rowBytes)); rows > 0; rows -= chunk {
		count := min(rows, chunk)
		statement := fmt.Sprintf("INSERT INTO %s SELECT seq, %s FROM seq_%d_to_%d", t.name, t.columns, last+1, last+count)
		if _, err := connection.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
		last += count
	}
	return nil
}
