# From `cargo metadata` to a CycloneDX bill of materials: every crate that is compiled into the two programs.
#
#   cargo metadata --format-version 1 --locked --filter-platform TARGET |
#     jq --sort-keys --arg time SECONDS --rawfile lock Cargo.lock --from-file krew/sbom.jq

def purl: "pkg:cargo/\(.name)@\(.version)";

# Sums of the crates as Cargo.lock has them, by purl.
($lock | [scan("name = \"([^\"]+)\"\nversion = \"([^\"]+)\"\nsource = \"[^\"]+\"\nchecksum = \"([0-9a-f]{64})\"")]
  | map({key: "pkg:cargo/\(.[0])@\(.[1])", value: .[2]}) | from_entries) as $sums
| (.packages | INDEX(.id)) as $packages
| (.resolve.nodes | INDEX(.id)) as $nodes
# What a crate is compiled with, neither to build it nor to test it.
| def needs: [$nodes[.].deps[] | select(any(.dep_kinds[]; .kind == null)) | .pkg] | unique;
  def component: {
    type: "library", "bom-ref": purl, purl: purl, name, version,
    licenses: [{expression: (.license // "NOASSERTION" | gsub(" */ *"; " OR "))}],
    hashes: [$sums[purl] // empty | {alg: "SHA-256", content: .}]
  };
  ({todo: [.resolve.root], seen: {}}
    | until(.todo == [];
        .todo[0] as $next
        | if .seen[$next] then .todo |= .[1:]
          else .seen[$next] = true | .todo = .todo[1:] + ($next | needs) end)
    | .seen | keys) as $all
| .resolve.root as $root
| {
    bomFormat: "CycloneDX", specVersion: "1.6", version: 1,
    metadata: {
      timestamp: ($time | tonumber | todate),
      component: ($packages[$root] | component | del(.hashes) | .type = "application")
    },
    components: [$all[] | select(. != $root) | $packages[.] | component] | sort_by(."bom-ref"),
    dependencies: [$all[] | {ref: ($packages[.] | purl), dependsOn: ([needs[] | $packages[.] | purl] | unique)}]
      | sort_by(.ref)
  }
