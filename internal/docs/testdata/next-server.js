// What proxy.ts uses of next/server.
export class NextResponse extends Response {
  static next(init) {
    const response = new NextResponse(null, { status: 200 });
    response.forwarded = init?.request?.headers;
    return response;
  }
}
