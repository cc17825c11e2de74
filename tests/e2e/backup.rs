//! What a backup promises when nothing breaks.

use crate::ground::{Cluster, Ledger};
use crate::oracle::Oracle;
use crate::stock_tools::StockServer;

#[test]
fn a_backup_under_load_restored_by_stock_tools_holds_every_commit_up_to_its_position_and_none_torn() {
    let cluster = Cluster::with_data();
    let oracle = Oracle::new(&cluster);
    let ledger = Ledger::start(&cluster);
    let name = cluster.created(&["create"]);
    let server = StockServer::start(&cluster, &name);
    server.holds(&ledger, &server.position);
    drop((server, ledger));
    oracle.nothing_is_left();
}
