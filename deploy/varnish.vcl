vcl 4.1;

# Varnish 7 in front of regions: `purge.caches` of their region files names this Varnish, `publicCaching.sharedMaxAgeSeconds` how long it
# may keep what no purge names. See docs/operating.md, "Behind caches".

import directors;
import std;

probe ready {
  .url = "/readyz";
  .interval = 2s;
  .timeout = 1s;
  .window = 3;
  .threshold = 2;
}

backend us_east { .host = "127.0.0.1"; .port = "8081"; .probe = ready; .connect_timeout = 1s; .first_byte_timeout = 10s; }
backend eu_west { .host = "127.0.0.1"; .port = "8082"; .probe = ready; .connect_timeout = 1s; .first_byte_timeout = 10s; }
backend ap_south { .host = "127.0.0.1"; .port = "8083"; .probe = ready; .connect_timeout = 1s; .first_byte_timeout = 10s; }

# Who may purge: the replicas.
acl replicas {
  "127.0.0.1";
}

sub vcl_init {
  # The nearest that is well.
  new regions = directors.fallback();
  regions.add_backend(us_east);
  regions.add_backend(eu_west);
  regions.add_backend(ap_south);
}

sub vcl_recv {
  set req.backend_hint = regions.backend();
  if (req.method == "PURGE") {
    if (client.ip !~ replicas) { return (synth(405)); }
    if (!req.http.surrogate-key) { return (synth(400)); }
    if (req.http.surrogate-key == "*") { ban("obj.status != 0"); }
    # Keys are separated by spaces, and hold no character that means something in a pattern.
    else { ban("obj.http.surrogate-key ~ (^|[^!-~])(" + regsuball(req.http.surrogate-key, " ", "|") + ")([^!-~]|$)"); }
    return (synth(200));
  }
  # With `trustProxy` regions believe these: nobody else may say them. (Varnish says X-Forwarded-For itself.)
  unset req.http.x-forwarded-host;
  unset req.http.x-forwarded-proto;
  # Streams of events go straight through, and the API is not kept.
  if (req.url ~ "/events(\?|$)") { return (pipe); }
  if (req.url ~ "^/v1/") { return (pass); }
  # Who has seen something must not be shown less.
  if (req.http.session-token || req.http.consistency-level) { return (pass); }
  # Cookies of other sites of the domain mean nothing here.
  unset req.http.cookie;
  # One copy a language, not one for each browser's list: the first of the list that pages speak.
  if (req.restarts == 0 && req.http.accept-language) {
    set req.http.accept-language = regsub(req.http.accept-language, "(?i)^(?:.*?[, ])??(ar|de|en|es|fr|ja|pt)(?:[^a-z].*)?$", "\1");
    if (req.http.accept-language !~ "(?i)^(ar|de|en|es|fr|ja|pt)$") { unset req.http.accept-language; }
  }
  # While a region is well, a copy whose time is over is given for as long as `stale-while-revalidate` says; else for as long as it is kept.
  if (std.healthy(req.backend_hint)) { set req.grace = 60s; }
}

sub vcl_backend_response {
  # `stale-if-error`, as regions say unless told otherwise.
  set beresp.grace = 7d;
  # What a region says while it fails is no reason to forget what it said before.
  if (beresp.status >= 500 && bereq.is_bgfetch) { return (abandon); }
}

sub vcl_deliver {
  # Nothing answers, and this language was never asked for: the page's own is better than nothing.
  if (resp.status == 503 && req.restarts == 0 && req.http.accept-language && req.method ~ "^(GET|HEAD)$") {
    unset req.http.accept-language;
    return (restart);
  }
}

sub vcl_synth {
  if (resp.status == 503 && req.restarts == 0 && req.http.accept-language && req.method ~ "^(GET|HEAD)$") {
    unset req.http.accept-language;
    return (restart);
  }
}
