const TARGET = "{{target}}";

export default {
  async fetch(request) {
    const { pathname, search } = new URL(request.url);
    if (pathname !== "/.well-known/com.apple.remotemanagement") return fetch(request);
    return fetch(TARGET + search, {
      method: request.method,
      headers: { "User-Agent": request.headers.get("User-Agent") ?? "" },
      redirect: "manual",
    });
  },
};
