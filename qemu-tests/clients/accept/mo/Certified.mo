// Response certification, version 2 of the HTTP gateway protocol, as a canister does it.
import Array "mo:core/Array";
import Blob "mo:core/Blob";
import Char "mo:core/Char";
import List "mo:core/List";
import Nat "mo:core/Nat";
import Nat8 "mo:core/Nat8";
import Nat16 "mo:core/Nat16";
import Text "mo:core/Text";
import HashTree "HashTree";
import Sha256 "Sha256";

module {
  public type Header = (Text, Text);

  public let nothing = "default_certification(ValidationArgs{no_certification:Empty{}})";

  func names(list : [Text]) : Text { "[" # Text.join(Array.map<Text, Text>(list, func(n) { "\"" # n # "\"" }).vals(), ",") # "]" };

  // expression covers the response's headers and, if there are any, some of the request.
  public func expression(request : [Text], response : [Header]) : Text {
    "default_certification(ValidationArgs{certification:Certification{" # (if (request.size() == 0) "no_request_certification:Empty{}" else "request_certification:RequestCertification{certified_request_headers:" # names(request) # ",certified_query_parameters:[]}")
    # ",response_certification:ResponseCertification{certified_response_headers:ResponseHeaderList{headers:" # names(Array.map<Header, Text>(response, func(h) { h.0 })) # "}}}})";
  };

  func text(t : Text) : Blob { Text.encodeUtf8(t) };

  func mapHash(fields : [(Text, Blob)]) : Blob {
    let pairs = Array.map<(Text, Blob), (Blob, Blob)>(fields, func((name, value)) { (Sha256.sum([text(name)]), Sha256.sum([value])) });
    let sorted = Array.sort<(Blob, Blob)>(pairs, func(a, b) { switch (Blob.compare(a.0, b.0)) { case (#equal) Blob.compare(a.1, b.1); case other other } });
    let all = List.empty<Blob>();
    for ((a, b) in sorted.vals()) { List.add(all, a); List.add(all, b) };
    Sha256.sum(List.toArray(all));
  };

  public func responseHash(status : Nat16, expression : Text, headers : [Header], body : Blob) : Blob {
    let n = Nat16.toNat(status);
    let leb = if (n < 128) [Nat8.fromNat(n)] else [Nat8.fromNat(n % 128 + 128), Nat8.fromNat(n / 128)];
    let fields = Array.concat([(":ic-cert-status", Blob.fromArray(leb)), ("ic-certificateexpression", text(expression))], Array.map<Header, (Text, Blob)>(headers, func((name, value)) { (Text.toLower(name), text(value)) }));
    Sha256.sum([mapHash(fields), Sha256.sum([body])]);
  };

  public func requestHash(method : Text, headers : [Header]) : Blob {
    Sha256.sum([mapHash(Array.concat([(":ic-cert-method", text(method))], Array.map<Header, (Text, Blob)>(headers, func((name, value)) { (name, text(value)) }))), Sha256.sum([])]);
  };

  // decoded is a URL's path without its percent-encoding, of ASCII.
  public func decoded(url : Text) : Text {
    let parts = Array.fromIter(Text.split(url, #char '%'));
    var out = parts[0];
    var i = 1;
    while (i < parts.size()) {
      let chars = Text.toArray(parts[i]);
      out #= Char.toText(Char.fromNat32(hex(chars[0]) * 16 + hex(chars[1]))) # Text.fromIter(Array.sliceToArray(chars, 2, chars.size()).vals());
      i += 1;
    };
    out;
  };

  func hex(c : Char) : Nat32 {
    let n = Char.toNat32(c);
    if (n < 58) n - 48 else if (n < 71) n - 55 else n - 87;
  };

  // segments of a URL's path; a directory ends with "".
  public func segments(url : Text) : [Text] {
    let parts = Array.filter<Text>(Array.fromIter(Text.split(url, #char '/')), func(s) { s != "" });
    if (Text.endsWith(url, #char '/')) Array.concat(parts, [""]) else parts;
  };

  public func labels(path : [Text]) : HashTree.Path { Array.map<Text, Blob>(path, text) };

  // place is where a response is in the tree.
  public func place(path : [Text], expression : Text, request : Blob, response : Blob) : HashTree.Path {
    Array.concat(labels(path), [Sha256.sum([text(expression)]), request, response]);
  };

  // header is IC-Certificate for an answer at path to a request for url.
  public func header(certificate : Blob, tree : HashTree.Node, url : Text, path : [Text]) : Header {
    let shown = List.fromArray<HashTree.Path>([labels(path), labels(Array.concat(Array.concat(["http_expr"], segments(url)), ["<$>"]))]);
    var at = ["http_expr"];
    for (s in segments(url).vals()) {
      List.add(shown, labels(Array.concat(at, ["", "<*>"])));
      List.add(shown, labels(Array.concat(at, ["<*>"])));
      at := Array.concat(at, [s]);
    };
    List.add(shown, labels(Array.concat(at, ["<*>"])));
    let out = List.empty<Nat8>();
    for (b in ([0xd9, 0xd9, 0xf7] : [Nat8]).vals()) List.add(out, b);
    HashTree.head(out, 4, path.size());
    for (p in path.vals()) {
      HashTree.head(out, 3, text(p).size());
      for (b in text(p).vals()) List.add(out, b);
    };
    ("IC-Certificate", "certificate=:" # base64(certificate) # ":, tree=:" # base64(HashTree.witness(tree, List.toArray(shown))) # ":, version=2, expr_path=:" # base64(Blob.fromArray(List.toArray(out))) # ":");
  };

  // legacy is IC-Certificate of version 1.
  public func legacy(certificate : Blob, tree : HashTree.Node, url : Text) : Header {
    ("IC-Certificate", "certificate=:" # base64(certificate) # ":, tree=:" # base64(HashTree.witness(tree, [labels(["http_assets", url])])) # ":");
  };

  public func base64(b : Blob) : Text {
    let digits = Text.toArray("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    let bytes = Blob.toArray(b);
    let out = List.empty<Char>();
    var i = 0;
    while (i < bytes.size()) {
      let left = bytes.size() - i : Nat;
      func at(j : Nat) : Nat { if (j < left) Nat8.toNat(bytes[i + j]) else 0 };
      let n = at(0) * 65536 + at(1) * 256 + at(2);
      List.add(out, digits[n / 262144]);
      List.add(out, digits[n / 4096 % 64]);
      List.add(out, if (left > 1) digits[n / 64 % 64] else '=');
      List.add(out, if (left > 2) digits[n % 64] else '=');
      i += 3;
    };
    Text.fromIter(List.values(out));
  };
};
