//! Snippets that send a device on to us. Each keeps the query as the device sent it, because the device does not add
//! it to the target, and is temporary, so that nobody remembers it.
use super::Template;

pub static TEMPLATES: &[Template] = &[
    Template {
        server: "nginx",
        name: "nginx",
        file: "the `server { … }` that answers https://{{hostname}}",
        language: "nginx",
        text: include_str!("snippets/nginx-redirect.conf"),
        notes: &[
            "Use the block that answers https://{{hostname}} itself, even if all it does is to redirect to www.",
            "A `return` or `rewrite` of that block outside of any location comes before every location: move it into `location / { … }`.",
            "A rule that denies files whose names begin with a dot is no hindrance: an exact location comes first.",
        ],
    },
    Template {
        server: "apache",
        name: "Apache HTTP Server",
        file: "the `<VirtualHost *:443>` of {{hostname}}, above its other rewrite rules",
        language: "apache",
        text: include_str!("snippets/apache-redirect.conf"),
        notes: &[
            "Needs mod_rewrite (`a2enmod rewrite`).",
            "Put it above every other RewriteRule, for example one that redirects to www. `Redirect` lines may stand anywhere.",
            "Keep the flag NE: without it an older Apache encodes the query a second time.",
        ],
    },
    Template {
        server: "caddy",
        name: "Caddy",
        file: "the block of {{hostname}} in the Caddyfile",
        language: "caddyfile",
        text: include_str!("snippets/caddy-redirect.caddyfile"),
        notes: &["A `redir` of the whole site may stay: Caddy takes the one with the longer path first."],
    },
    Template {
        server: "iis",
        name: "IIS",
        file: "web.config in the root of the website of {{hostname}}",
        language: "xml",
        text: include_str!("snippets/iis-redirect.xml"),
        notes: &[
            "Needs the URL Rewrite module.",
            "If there is a web.config already, put the `<rule>` into its `<rules>`, as the first.",
        ],
    },
    Template {
        server: "cloudflare_redirect_rule",
        name: "Cloudflare Redirect Rule",
        file: "Cloudflare's dashboard, {{hostname}}'s zone: Rules, Create rule, Redirect Rule",
        language: "text",
        text: include_str!("snippets/cloudflare-rule-redirect.txt"),
        notes: &[
            "The DNS record of {{hostname}} has to be proxied (the orange cloud).",
            "Put the rule first, above one that redirects to www.",
            "Redirect Rules come before Cloudflare's challenges, so devices are not taken for bots.",
        ],
    },
    Template {
        server: "cloudflare_worker",
        name: "Cloudflare Worker",
        file: "a Worker with the route {{hostname}}{{well_known}}*",
        language: "javascript",
        text: include_str!("snippets/cloudflare-worker-redirect.js"),
        notes: &[
            "A Redirect Rule does the same with less.",
            "The route has to end in `*`: it is compared with the whole address, query and all.",
            "The DNS record of {{hostname}} has to be proxied (the orange cloud).",
            "Redirect Rules, the firewall and Bot Fight Mode come before a Worker: a challenge (403) there is the end for a device.",
        ],
    },
    Template {
        server: "netlify",
        name: "Netlify",
        file: "the file _redirects in the publish directory, above its other lines",
        language: "text",
        text: include_str!("snippets/netlify-redirect.txt"),
        notes: &[
            "Netlify adds the query itself, and has no 307: 302 is as good.",
            "The first line that fits wins: put it above a `/*`.",
        ],
    },
    Template {
        server: "vercel",
        name: "Vercel",
        file: "vercel.json in the root of the project",
        language: "json",
        text: include_str!("snippets/vercel-redirect.json"),
        notes: &[
            "Vercel adds the query itself; `\"permanent\": false` is a 307. If there is a vercel.json already, put the entry first into its `redirects`.",
            "Add {{hostname}} to the project without “Redirect to”: that redirect comes before vercel.json.",
            "Vercel's documentation calls /.well-known reserved, though redirects of names below it are in wide use: probe the domain after you deploy, and choose another way if it does not answer.",
        ],
    },
    Template {
        server: "wordpress",
        name: "WordPress (.htaccess)",
        file: ".htaccess in the root of the website, above `# BEGIN WordPress`",
        language: "apache",
        text: include_str!("snippets/wordpress-redirect.htaccess"),
        notes: &[
            "Not between `# BEGIN WordPress` and `# END WordPress`: WordPress writes anew what is there.",
            "Put it above every other RewriteRule, for example one that redirects to www, and above a block of a caching or security plugin.",
            "For Apache and LiteSpeed. nginx does not read .htaccess: take the snippet for nginx.",
        ],
    },
];
