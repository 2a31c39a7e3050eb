const TARGET = "{{target}}";

export default {
  async fetch(request) {
    const { pathname, search } = new URL(request.url);
    if (pathname !== "/.well-known/com.apple.remotemanagement") return fetch(request);
    return new Response(null, {
      status: 307,
      headers: { Location: TARGET + search, "Cache-Control": "no-store" },
    });
  },
};
