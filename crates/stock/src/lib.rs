//! The list: every stock plugin, one line each. The order is that in which queries pass them, CoreDNS 1.14.7's.

use catena_core::{PluginDef, PluginList};

macro_rules! stock {
    ($($feature:literal $plugin:ident),* $(,)?) => {
        /// The plugins of this build, in order.
        #[must_use]
        pub fn stock() -> PluginList {
            PluginList::new([$(
                #[cfg(feature = $feature)]
                $plugin::PLUGIN,
            )*] as [PluginDef; _])
        }
    };
}

stock! {
    "order" catena_plugin_order,
    "root" catena_plugin_root,
    "metadata" catena_plugin_metadata,
    "geoip" catena_plugin_geoip,
    "cancel" catena_plugin_cancel,
    "proxyproto" catena_plugin_proxyproto,
    "timeouts" catena_plugin_timeouts,
    "multisocket" catena_plugin_multisocket,
    "reload" catena_plugin_reload,
    "nsid" catena_plugin_nsid,
    "bufsize" catena_plugin_bufsize,
    "bind" catena_plugin_bind,
    "debug" catena_plugin_debug,
    "ready" catena_plugin_ready,
    "health" catena_plugin_health,
    "shed" catena_plugin_shed,
    "prometheus" catena_plugin_prometheus,
    "errors" catena_plugin_errors,
    "log" catena_plugin_log,
    "local" catena_plugin_local,
    "dns64" catena_plugin_dns64,
    "any" catena_plugin_any,
    "chaos" catena_plugin_chaos,
    "loadbalance" catena_plugin_loadbalance,
    "tsig" catena_plugin_tsig,
    "ratelimit" catena_plugin_ratelimit,
    "rewrite" catena_plugin_rewrite,
    "autopath" catena_plugin_autopath,
    "acl" catena_plugin_acl,
    "blocklist" catena_plugin_blocklist,
    "filter" catena_plugin_filter,
    "ecs" catena_plugin_ecs,
    "cache" catena_plugin_cache,
    "header" catena_plugin_header,
    "dnssec" catena_plugin_dnssec,
    "minimal" catena_plugin_minimal,
    "template" catena_plugin_template,
    "transfer" catena_plugin_transfer,
    "hosts" catena_plugin_hosts,
    "k8s_external" catena_plugin_k8s_external,
    "kubernetes" catena_plugin_kubernetes,
    "file" catena_plugin_file,
    "auto" catena_plugin_auto,
    "secondary" catena_plugin_secondary,
    "loop" catena_plugin_loop,
    "forward" catena_plugin_forward,
    "erratic" catena_plugin_erratic,
    "whoami" catena_plugin_whoami,
    "on" catena_plugin_on,
    "sign" catena_plugin_sign,
    "view" catena_plugin_view,
}

/// Every directive of CoreDNS 1.14.7, in order: what tells a directive that this build lacks from one that nobody knows.
pub const COREDNS_DIRECTIVES: [&str; 60] = [
    "root",
    "metadata",
    "geoip",
    "cancel",
    "proxyproto",
    "quic",
    "grpc_server",
    "https",
    "https3",
    "timeouts",
    "multisocket",
    "reload",
    "nsid",
    "bufsize",
    "bind",
    "debug",
    "trace",
    "ready",
    "health",
    "pprof",
    "shed",
    "prometheus",
    "errors",
    "log",
    "dnstap",
    "local",
    "dns64",
    "any",
    "chaos",
    "loadbalance",
    "tsig",
    "rewrite",
    "autopath",
    "acl",
    "cache",
    "header",
    "dnssec",
    "tls",
    "minimal",
    "template",
    "transfer",
    "hosts",
    "route53",
    "azure",
    "clouddns",
    "k8s_external",
    "kubernetes",
    "file",
    "auto",
    "secondary",
    "etcd",
    "loop",
    "forward",
    "grpc",
    "erratic",
    "whoami",
    "on",
    "sign",
    "view",
    "nomad",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_that_coredns_lacks_stand_where_their_work_is() {
        let names = stock().names();
        let place = |name: &str| names.iter().position(|known| *known == name);
        for pair in
            [("tsig", "ratelimit"), ("ratelimit", "rewrite"), ("acl", "filter"), ("filter", "ecs"), ("ecs", "cache")]
        {
            assert!(place(pair.0) < place(pair.1), "{} before {}: {names:?}", pair.0, pair.1);
        }
    }

    #[test]
    fn the_list_is_in_the_order_of_coredns() {
        let places: Vec<usize> = stock()
            .names()
            .iter()
            .filter_map(|name| COREDNS_DIRECTIVES.iter().position(|known| known == name))
            .collect();
        assert!(places.is_sorted(), "{:?}", stock().names());
    }
}
