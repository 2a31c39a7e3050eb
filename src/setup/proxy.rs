//! Snippets that fetch our answer and pass it on. Each keeps the query as the device sent it, names the edge host to us,
//! and passes on every status: 403 and 404 are answers.
use super::Template;

pub static TEMPLATES: &[Template] = &[
    Template {
        server: "nginx",
        name: "nginx",
        file: "the `server { … }` that answers https://{{hostname}}",
        language: "nginx",
        text: include_str!("snippets/nginx-proxy.conf"),
        notes: &[
            "Use the block that answers https://{{hostname}} itself, even if all it does is to redirect to www.",
            "A `return` or `rewrite` of that block outside of any location comes before every location: move it into `location / { … }`.",
            "On Red Hat and its relatives the trusted roots are in /etc/pki/tls/certs/ca-bundle.crt.",
            "nginx looks {{edge}} up when it starts, and keeps the addresses: reload it when they change.",
            "A rule that denies files whose names begin with a dot is no hindrance: an exact location comes first.",
        ],
    },
    Template {
        server: "apache",
        name: "Apache HTTP Server",
        file: "the `<VirtualHost *:443>` of {{hostname}}, above its other rewrite rules",
        language: "apache",
        text: include_str!("snippets/apache-proxy.conf"),
        notes: &[
            "Needs mod_rewrite, mod_proxy_http and mod_ssl (`a2enmod rewrite proxy_http ssl`), Apache 2.4.30 or newer.",
            "Put it above every other RewriteRule, for example one that redirects to www. `Redirect` lines may stand anywhere.",
            "On Red Hat and its relatives the trusted roots are in /etc/pki/tls/certs/ca-bundle.crt.",
        ],
    },
    Template {
        server: "caddy",
        name: "Caddy",
        file: "the block of {{hostname}} in the Caddyfile",
        language: "caddyfile",
        text: include_str!("snippets/caddy-proxy.caddyfile"),
        notes: &[
            "A `redir` of the whole site comes before `handle`, wherever it stands: put it into `handle { … }`, which takes what no other `handle` does.",
        ],
    },
    Template {
        server: "iis",
        name: "IIS",
        file: "web.config in the root of the website of {{hostname}}",
        language: "xml",
        text: include_str!("snippets/iis-proxy.xml"),
        notes: &[
            "Needs the URL Rewrite module and Application Request Routing, with “Enable proxy” in the server's Application Request Routing Cache, Server Proxy Settings.",
            "Clear “Reverse rewrite host in response headers” there if the domain's policy redirects, and leave `preserveHostHeader` off.",
            "If there is a web.config already, put the `<rule>` into its `<rules>`, as the first.",
        ],
    },
    Template {
        server: "cloudflare_worker",
        name: "Cloudflare Worker",
        file: "a Worker with the route {{hostname}}{{well_known}}*",
        language: "javascript",
        text: include_str!("snippets/cloudflare-worker-proxy.js"),
        notes: &[
            "The route has to end in `*`: it is compared with the whole address, query and all.",
            "The DNS record of {{hostname}} has to be proxied (the orange cloud).",
            "Redirect Rules, the firewall and Bot Fight Mode come before a Worker: a challenge (403) there is the end for a device. A Redirect Rule (connection `redirect`) comes before them.",
        ],
    },
    Template {
        server: "netlify",
        name: "Netlify",
        file: "the file _redirects in the publish directory, above its other lines",
        language: "text",
        text: include_str!("snippets/netlify-proxy.txt"),
        notes: &[
            "The status 200 makes Netlify fetch the answer, with the query.",
            "The first line that fits wins: put it above a `/*`.",
        ],
    },
    Template {
        server: "vercel",
        name: "Vercel",
        file: "vercel.json in the root of the project",
        language: "json",
        text: include_str!("snippets/vercel-proxy.json"),
        notes: &[
            "Vercel adds the query itself. If there is a vercel.json already, put the entry first into its `rewrites`.",
            "Add {{hostname}} to the project without “Redirect to”: that redirect comes before vercel.json.",
            "Vercel's documentation calls /.well-known reserved, though rewrites of names below it are in wide use: probe the domain after you deploy, and choose another way if it does not answer.",
        ],
    },
    Template {
        server: "wordpress",
        name: "WordPress (.htaccess)",
        file: ".htaccess in the root of the website, above `# BEGIN WordPress`",
        language: "apache",
        text: include_str!("snippets/wordpress-proxy.htaccess"),
        notes: &[
            "Works only where the server's own configuration has mod_proxy_http and `SSLProxyEngine On` (better with `SSLProxyVerify require`), which .htaccess can't switch on, and no `ProxyPreserveHost On`. Most shared hosting has not: the path then answers an error, and the connection `redirect` is the way.",
            "Not between `# BEGIN WordPress` and `# END WordPress`: WordPress writes anew what is there.",
            "Put it above every other RewriteRule, for example one that redirects to www, and above a block of a caching or security plugin.",
            "For Apache. nginx does not read .htaccess: take the snippet for nginx.",
        ],
    },
];
