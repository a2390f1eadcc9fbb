// Proofs that were recorded between two Pythons, as the payloads of their messages.
#pragma once

#include <string>
#include <vector>

namespace remsh::test {

/// One message, in hexadecimal.
struct RecordedMessage {
  bool by_listener;
  std::string hex;
};

/// A recorded proof. Its key is "secret"; with a wrong key, the client has another one.
struct RecordedProof {
  std::string listener;  ///< the version of Python
  std::string client;
  bool has_wrong_key;
  std::vector<RecordedMessage> messages;
};

inline const std::vector<RecordedProof>& recorded_proofs() {
  static const std::vector<RecordedProof> all{
      {"3.11",
       "3.11",
       false,
       {
           {true, "234348414c4c454e474523901c1988b1e516c4b2018f3f77c6cdf8a4a2081b"},
           {false, "a1f86b2ce9f8beaac517afa9aaf039da"},
           {true, "2357454c434f4d4523"},
           {false, "234348414c4c454e4745239e715b182080fb5137b1387ac950299e9feb915a"},
           {true, "a6519bd8fb0b5d39bffce4bac0b2fd76"},
           {false, "2357454c434f4d4523"},
       }},
      {"3.11",
       "3.13",
       false,
       {
           {true, "234348414c4c454e474523d26b43032928a516ffbb9df45696d91ff13429b1"},
           {false, "1c18b58e7cae314b09e64e28ee7480e0"},
           {true, "2357454c434f4d4523"},
           {false,
            "234348414c4c454e4745237b7368613235367d102293c3ab9d12e24da407ea7a31c85f8e40634ea6c2f6cb10f0a3e8deb43c718975"
            "fa12595b9728"},
           {true, "63ce5770392b012c1afb14f317d5326f"},
           {false, "2357454c434f4d4523"},
       }},
      {"3.13",
       "3.11",
       true,
       {
           {true,
            "234348414c4c454e4745237b7368613235367d88f2866bf4fcba49e5fb1f5489b03b91b541b94978ed311306eab06ac994aba78c00"
            "b175ac132f3d"},
           {false, "fba602847b822feb96a35e1b28c567c6"},
           {true, "234641494c55524523"},
       }},
      {"3.13",
       "3.11",
       false,
       {
           {true,
            "234348414c4c454e4745237b7368613235367d9242eafaf3739fc3e4e4a969494d282337faf8b75fc0422e3fb5f42f610f7c176747"
            "36823c6d60ec"},
           {false, "db5a593d08c3bcb43743ee3ed35ded16"},
           {true, "2357454c434f4d4523"},
           {false, "234348414c4c454e474523d1684933e3fa150d045516233dde5b343ce8dcbe"},
           {true, "1cf18fd1c3e0e2e39b13696fbe95892f"},
           {false, "2357454c434f4d4523"},
       }},
      {"3.13",
       "3.13",
       false,
       {
           {true,
            "234348414c4c454e4745237b7368613235367dcdab483c301fd4db79b3047194b4294db930f253e728f9a6c5714d7662b0b29e3bde"
            "0b69c26e65ef"},
           {false, "7b7368613235367d6ea572e648086d51c3869eca799808f8c0e57d0fd39eb61dbfedd84068ce4aed"},
           {true, "2357454c434f4d4523"},
           {false,
            "234348414c4c454e4745237b7368613235367d766df86636c798dea32e4b9af8dd6d658a74914c36b0c6f3d34a174afb517808bb84"
            "56c6c0c889eb"},
           {true, "7b7368613235367d9b883bedab926372cf924f5b783b41851c2f0c56127516eb59beea127cd7ad77"},
           {false, "2357454c434f4d4523"},
       }},
      {"3.6",
       "3.12",
       false,
       {
           {true, "234348414c4c454e474523719c3c24fde93f8ebb1dd30f34214914682c963d"},
           {false, "6588456140c8d463286602677e18c33a"},
           {true, "2357454c434f4d4523"},
           {false,
            "234348414c4c454e4745237b7368613235367d1b3344ecb8119b23b393789f035772bc1cde371c863c065c5e2bfe247c7048a1ee54"
            "7e0b47c095ae"},
           {true, "2e0a7a9549af5fdbbe077c5228a047d4"},
           {false, "2357454c434f4d4523"},
       }},
  };
  return all;
}

}  // namespace remsh::test
