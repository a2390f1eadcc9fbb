# What Cap'n Proto is asked in W1: a stat, as ours.
@0xd2c6a1f3b5e84790;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("stat_peer");

interface Files {
  stat @0 (path :Data) -> (info :Info);
}

struct Info {
  type @0 :Text;
  size @1 :UInt64;
  mode @2 :UInt32;
  mtime @3 :Int64;
}
