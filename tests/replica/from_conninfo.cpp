#include <walwire/replica/from_conninfo.hpp>

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <string_view>

using namespace walwire;
using namespace walwire::replica;

namespace {

// What a connection string comes to; its text must outlive it.
class read {
  public:
    explicit read(std::string_view text, const auth::crypto* crypto = nullptr) {
        CAPTURE(std::string(text));
        const conninfo_error wrong = parse_conninfo(text, storage_, info_, tls_support::present);
        REQUIRE(wrong.ok());
        const auto made = from_conninfo(info_, crypto);
        code = made.code();
        if (made) options = *made;
    }
    read(const read&) = delete;
    read& operator=(const read&) = delete;

    connection_options options;
    errc code = errc::none;

  private:
    std::array<char, 1024> storage_{};
    conninfo info_;
};

} // namespace

TEST_CASE("every sslmode is the first attempt and the one after it that libpq would make") {
    struct row {
        std::string_view mode;
        encryption first;
        std::optional<encryption> then;
    };
    for (const row& each :
         {row{"disable", encryption::off, {}}, row{"allow", encryption::off, encryption::required},
          row{"prefer", encryption::offered, encryption::off},
          row{"require", encryption::required, {}},
          row{"verify-ca sslrootcert=ca.pem", encryption::required, {}},
          row{"verify-full sslrootcert=ca.pem", encryption::required, {}},
          row{"require sslnegotiation=direct", encryption::direct, {}},
          row{"verify-full sslrootcert=ca.pem sslnegotiation=direct", encryption::direct, {}}}) {
        CAPTURE(std::string(each.mode));
        const read made("host=db user=u sslmode=" + std::string(each.mode));
        CHECK(made.options.first.tls == each.first);
        CHECK(made.options.alternative_tls == each.then);
    }
    const read without("host=db user=u");
    CHECK(without.options.first.tls == encryption::offered);
    CHECK(without.options.alternative_tls == encryption::off);
}

TEST_CASE("a Unix socket is never encrypted") {
    for (const char* host : {"/var/run/postgresql", "@abstract"}) {
        for (const char* mode : {"disable", "allow", "prefer", "require"}) {
            const read made(std::string("host=") + host + " user=u sslmode=" + mode);
            CHECK(made.options.first.tls == encryption::off);
            CHECK(!made.options.alternative_tls);
        }
    }
}

TEST_CASE("GSSAPI encryption is asked for as it is said") {
    CHECK(read("host=db user=u").options.first.gss == encryption::off);
    CHECK(read("host=db user=u gssencmode=disable").options.first.gss == encryption::off);
    CHECK(read("host=db user=u gssencmode=prefer").options.first.gss == encryption::offered);
    CHECK(read("host=db user=u gssencmode=require").options.first.gss == encryption::required);
}

TEST_CASE("names, versions and times are taken over") {
    const auth::crypto crypto{};
    const read made("host=db user=repl dbname=orders application_name=r1 options='-c a=b' "
                    "connect_timeout=7 min_protocol_version=3.2 max_protocol_version=3.2",
                    &crypto);
    const options& to = made.options.first;
    CHECK(to.user == "repl");
    CHECK(to.database == "orders");
    CHECK(to.application_name == "r1");
    CHECK(to.settings == "-c a=b");
    CHECK(to.connect_timeout == 7 * second);
    CHECK(to.version == wire::protocol_3_2);
    CHECK(to.version_min == wire::protocol_3_2);
    CHECK(to.crypto == &crypto);
    const read little("host=db user=u");
    CHECK(little.options.first.connect_timeout == options().connect_timeout);
    CHECK(little.options.first.version == wire::protocol_3_0);
    CHECK(little.options.first.crypto == nullptr);
    CHECK(little.options.first.mode == replication_mode::physical);
    CHECK(little.options.first.dialect == dialect::postgres);
    CHECK(read("host=db user=u connect_timeout=0").options.first.connect_timeout ==
          options().connect_timeout);
    CHECK(read("host=db user=u connect_timeout=2147483647").options.first.connect_timeout ==
          2147483647 * second);
}

TEST_CASE("channel binding means the same on both sides") {
    using policy = auth::channel_binding_policy;
    CHECK(read("host=db user=u").options.first.channel_binding == policy::prefer);
    CHECK(read("host=db user=u channel_binding=disable").options.first.channel_binding ==
          policy::disable);
    CHECK(read("host=db user=u channel_binding=prefer").options.first.channel_binding ==
          policy::prefer);
    CHECK(read("host=db user=u channel_binding=require").options.first.channel_binding ==
          policy::require);
}

TEST_CASE("only the named methods of authentication are allowed") {
    const auto allowed = [](const char* list, auth::method asked) {
        return read(std::string("host=db user=u require_auth=") + list)
            .options.first.require_auth.allows(asked);
    };
    CHECK(allowed("scram-sha-256", auth::method::scram_sha_256));
    CHECK(!allowed("scram-sha-256", auth::method::md5));
    CHECK(!allowed("scram-sha-256", auth::method::none));
    CHECK(allowed("!password,!md5", auth::method::scram_sha_256));
    CHECK(!allowed("!password,!md5", auth::method::password));
    CHECK(read("host=db user=u").options.first.require_auth.allows(auth::method::none));
    for (const char* wrong : {"kerberos", "md5,!password", "md5,md5", "md5,", ",md5", "MD5"}) {
        CAPTURE(wrong);
        CHECK(read(std::string("host=db user=u require_auth=") + wrong).code ==
              errc::conninfo_value_invalid);
    }
}

TEST_CASE("a cleartext password crosses an open network only where it was asked for by name") {
    const auto crosses = [](const std::string& text) {
        return read(text).options.first.cleartext_without_tls;
    };
    CHECK(!crosses("host=db user=u"));
    CHECK(!crosses("host=db user=u require_auth=scram-sha-256"));
    CHECK(crosses("host=db user=u require_auth=password"));
    CHECK(crosses("host=db user=u require_auth=scram-sha-256,password"));
    // Exceptions allow the rest and name nothing.
    CHECK(!crosses("host=db user=u require_auth=!none"));
    CHECK(!crosses("host=db user=u require_auth=!md5,!gss"));
    CHECK(!crosses("host=db user=u require_auth=!password"));
    CHECK(crosses("host=/var/run/postgresql user=u"));
    CHECK(crosses("host=@abstract user=u require_auth=!none"));
    // A numeric address beside a socket's name is an open network again.
    CHECK(!crosses("host=/var/run/postgresql hostaddr=127.0.0.1 user=u"));
}
