// A web site: assets that are certified, streamed or given in ranges, a redirect,
// answers by calls, and some that a browser must not see.
import Array "mo:core/Array";
import Blob "mo:core/Blob";
import CertifiedData "mo:core/CertifiedData";
import List "mo:core/List";
import Nat "mo:core/Nat";
import Text "mo:core/Text";
import Time "mo:core/Time";
import Int "mo:core/Int";
import Certified "Certified";
import HashTree "HashTree";
import Sha256 "Sha256";

persistent actor Assets {
  type Request = { method : Text; url : Text; headers : [Certified.Header]; body : Blob };
  type Token = { key : Text; part : Nat };
  type Chunk = { body : Blob; token : ?Token };
  type Response = {
    status_code : Nat16;
    headers : [Certified.Header];
    body : Blob;
    upgrade : ?Bool;
    streaming_strategy : ?{ #Callback : { callback : shared query Token -> async ?Chunk; token : Token } };
  };
  // answer is what is certified at a path; request is the hash it belongs to.
  type Answer = { url : Text; range : Text; path : [Text]; expression : Text; request : Blob; status : Nat16; headers : [Certified.Header]; body : Blob };

  var answers : [Answer] = [];
  var bodies : [(Text, [Blob])] = []; // streamed ones
  var tree : HashTree.Node = #dir([]);
  var count = 0;

  func certify() { CertifiedData.set(HashTree.digest(tree)) };
  system func postupgrade() { certify() };

  func exactly(url : Text) : [Text] { Array.concat(Array.concat(["http_expr"], Certified.segments(url)), ["<$>"]) };

  func add(a : Answer, whole : Blob) {
    answers := Array.concat(Array.filter<Answer>(answers, func(b) { b.url != a.url or b.range != a.range }), [a]);
    let response = if (a.expression == Certified.nothing) "" : Blob else Certified.responseHash(a.status, a.expression, a.headers, whole);
    tree := HashTree.put(tree, if (a.expression == Certified.nothing) Array.concat(Certified.labels(a.path), [Sha256.sum([Text.encodeUtf8(a.expression)]), "" : Blob]) else Certified.place(a.path, a.expression, a.request, response), "");
    certify();
  };

  func plain(url : Text, path : [Text], status : Nat16, headers : [Certified.Header], body : Blob) : Answer {
    { url; range = ""; path; expression = Certified.expression([], headers); request = ""; status; headers; body };
  };

  public func put(url : Text, kind : Text, body : Blob) : async () {
    add(plain(url, exactly(url), 200, [("Content-Type", kind), ("Cache-Control", "max-age=60")], body), body);
  };

  // fallback answers what is not there, below a directory.
  public func fallback(below : Text, status : Nat16, kind : Text, body : Blob) : async () {
    add(plain("*" # below, Array.concat(Array.concat(["http_expr"], Certified.segments(below)), ["<*>"]), status, [("Content-Type", kind)], body), body);
  };

  public func redirect(url : Text, to : Text) : async () {
    add(plain(url, exactly(url), 301, [("Location", to)], ""), "");
  };

  // anything certifies that nothing is certified.
  public func anything(url : Text) : async () {
    add({ url; range = ""; path = exactly(url); expression = Certified.nothing; request = ""; status = 200; headers = []; body = "" }, "");
  };

  // stream certifies the whole and gives it in chunks.
  public func stream(url : Text, kind : Text, chunks : [Blob]) : async () {
    bodies := Array.concat(bodies, [(url, chunks)]);
    add(plain(url, exactly(url), 200, [("Content-Type", kind)], chunks[0]), join(chunks));
  };

  func join(bs : [Blob]) : Blob {
    let out = List.empty<Nat8>();
    for (b in bs.vals()) for (x in b.vals()) List.add(out, x);
    Blob.fromArray(List.toArray(out));
  };

  // ranges certifies each chunk by itself, for the range that asks for it.
  public func ranges(url : Text, kind : Text, chunks : [Blob]) : async () {
    var total = 0;
    for (c in chunks.vals()) total += c.size();
    var from = 0;
    for (c in chunks.vals()) {
      let headers = [("Content-Type", kind), ("Content-Range", "bytes " # Nat.toText(from) # "-" # Nat.toText(from + c.size() - 1) # "/" # Nat.toText(total))];
      let range = "bytes=" # Nat.toText(from) # "-";
      if (from == 0) { add(plain(url, exactly(url), 206, headers, c), c) } else {
        add({ url; range; path = exactly(url); expression = Certified.expression(["range"], headers); request = Certified.requestHash("GET", [("range", range)]); status = 206; headers; body = c }, c);
      };
      from += c.size();
    };
  };

  // legacy certifies a body by version 1.
  public func legacy(url : Text, body : Blob) : async () {
    tree := HashTree.put(tree, Certified.labels(["http_assets", url]), Sha256.sum([body]));
    answers := Array.concat(answers, [{ url; range = "v1"; path = []; expression = ""; request = "" : Blob; status = 200 : Nat16; headers = [("Content-Type", "text/plain")]; body }]);
    certify();
  };

  func response(status_code : Nat16, headers : [Certified.Header], body : Blob) : Response { { status_code; headers; body; upgrade = null; streaming_strategy = null } };

  func certificate() : Blob { switch (CertifiedData.getCertificate()) { case (?c) c; case null "" } };

  func find(url : Text, range : Text) : ?Answer {
    for (a in answers.vals()) if (a.url == url and a.range == range) return ?a;
    null;
  };

  func fallbackFor(url : Text) : ?Answer {
    var best : ?Answer = null;
    var longest = 0;
    for (a in answers.vals()) switch (Text.stripStart(a.url, #char '*')) {
      case (?below) if (Text.startsWith(url, #text below) and below.size() > longest) { best := ?a; longest := below.size() };
      case null {};
    };
    best;
  };

  func header(r : Request, name : Text) : Text {
    for ((n, v) in r.headers.vals()) if (n == name) return v;
    "";
  };

  public query func http_request(r : Request) : async Response {
    let ?encoded = Text.split(r.url, #char '?').next() else return response(400, [], "");
    let url = Certified.decoded(encoded);
    if (url == "/count") return { response(200, [], "") with upgrade = ?true };
    if (url == "/uncertified") return response(200, [("Content-Type", "text/html")], "<script>document.title = 'hacked'</script>");
    let range = header(r, "range");
    let asked = if (url == "/tampered") "/" else url;
    switch (find(asked, "v1")) {
      case (?a) return response(200, Array.concat(a.headers, [Certified.legacy(certificate(), tree, url)]), a.body);
      case null {};
    };
    let a = switch (find(asked, range), find(asked, ""), fallbackFor(asked)) {
      case (?a, _, _) a;
      case (null, ?a, _) a;
      case (null, null, ?a) a;
      case _ return response(404, [], "");
    };
    let headers = Array.concat(a.headers, [("IC-CertificateExpression", a.expression), Certified.header(certificate(), tree, asked, a.path)]);
    if (a.expression == Certified.nothing) return response(200, Array.concat(headers, [("Content-Type", "text/plain")]), Text.encodeUtf8("it is " # Int.toText(Time.now())));
    if (url == "/tampered") return response(200, headers, "<h1>not what was certified</h1>");
    let full = response(a.status, headers, a.body);
    for ((u, chunks) in bodies.vals()) if (u == url and chunks.size() > 1) return { full with streaming_strategy = ?#Callback({ callback = more; token = { key = url; part = 1 } }) };
    full;
  };

  public query func more(t : Token) : async ?Chunk {
    for ((u, chunks) in bodies.vals()) if (u == t.key and t.part < chunks.size()) return ?{ body = chunks[t.part]; token = if (t.part + 1 < chunks.size()) ?{ t with part = t.part + 1 } else null };
    null;
  };

  public func http_request_update(r : Request) : async Response {
    count += 1;
    response(200, [("Content-Type", "application/json")], Text.encodeUtf8("{\"count\":" # Nat.toText(count) # ",\"method\":\"" # r.method # "\"}"));
  };
};
