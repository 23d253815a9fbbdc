import t from "tap";
import { addressBytes, isInRanges, specialKind } from "../../src/io/probes/address-guard.js";

t.test("addresses of the public internet pass", async (t) => {
  for (const address of ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.1", "169.253.0.1", "192.167.1.1", "223.255.255.255", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]) {
    t.equal(specialKind(address), undefined, address);
  }
});

t.test("all others are refused, whatever they are written as", async (t) => {
  for (const address of [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.168.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "fc00::1", "fd12:3456::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:0:127.0.0.1",
    "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::169.254.169.254", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:53aa:64c:0:fbff:3f57:fefd", "nonsense",
  ]) t.type(specialKind(address), "string", address);
});

t.test("addresses are read as what they are", async (t) => {
  t.same(addressBytes("::1"), [...new Array(15).fill(0), 1]);
  t.same(addressBytes("::ffff:1.2.3.4"), [...new Array(10).fill(0), 255, 255, 1, 2, 3, 4]);
  t.same(addressBytes("1::2"), [0, 1, ...new Array(13).fill(0), 2]);
  t.equal(addressBytes("1.2.3"), undefined);
});

t.test("a range holds the addresses in it, whatever they are written as, and no others", async (t) => {
  const ranges = ["10.20.0.0/16", "fd00:1::/32", "192.168.7.9/32"];
  for (const address of ["10.20.0.0", "10.20.255.255", "::ffff:10.20.1.1", "::ffff:a14:101", "64:ff9b::10.20.1.1", "2002:a14:101::1", "fd00:1::1", "fd00:1:ffff::", "192.168.7.9"]) t.ok(isInRanges(address, ranges), address);
  for (const address of ["10.21.0.0", "10.19.255.255", "::ffff:10.21.0.1", "fd00:2::1", "192.168.7.8", "127.0.0.1", "::", "a14:101::", "169.254.169.254", "nonsense"]) t.notOk(isInRanges(address, ranges), address);
  t.notOk(isInRanges("10.20.0.0", []));
  t.ok(isInRanges("127.0.0.1", ["0.0.0.0/0"]) && !isInRanges("::1", ["0.0.0.0/1"]));
});
