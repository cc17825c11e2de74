//! The runner's ports: the server beside it, mariadb-backup, and the store on its volume.
