# Talks to the Kubernetes API with what a server image has: openssl carries the
# request, perl reads the JSON. To be sourced.

account=/var/run/secrets/kubernetes.io/serviceaccount
namespaced=/api/v1/namespaces/$POD_NAMESPACE

say() { echo "$(date -u +%H:%M:%S) ${0##*/}: $*"; }

# api METHOD PATH [TYPE BODY] prints the body of the answer. Fails unless that is a
# success: with 4 when there is no such object, else with 1. Speaks HTTP 1.0, in
# which the answer comes in one piece and ends with the connection.
api() {
  local answer
  answer=$({
    printf '%s %s HTTP/1.0\r\nHost: %s\r\nAuthorization: Bearer %s\r\n' "$1" "$2" "$KUBERNETES_SERVICE_HOST" "$(cat "$account/token")"
    [ $# -lt 4 ] || printf 'Content-Type: %s\r\nContent-Length: %d\r\n' "$3" "${#4}"
    printf '\r\n%s' "${4:-}"
  } | timeout 10 openssl s_client -quiet -verify_return_error -verify_ip "$KUBERNETES_SERVICE_HOST" \
    -CAfile "$account/ca.crt" -connect "$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT" 2>/dev/null)
  case $answer in
    "HTTP/1."?" 2"*) printf '%s' "${answer#*$'\r\n\r\n'}" ;;
    "HTTP/1."?" 404"*) return 4 ;;
    *) return 1 ;;
  esac
}

# merge PATH JSON changes an object; with a resourceVersion in it only that version.
merge() { api PATCH "$1" application/merge-patch+json "$2" >/dev/null; }

# json EXPRESSION [ARGUMENT…] runs perl's expression on the JSON of stdin, which is
# $_ there, and prints the results, one a line. Of no JSON it prints nothing.
json() {
  local expression=$1
  shift
  perl -MJSON::PP -e 'my $expression = shift; my $text = join "", <STDIN>;
    exit if $text eq ""; local $_ = decode_json($text);
    my @found = eval $expression; die $@ if $@; print map { "$_\n" } grep { defined } @found' -- "$expression" "$@"
}
