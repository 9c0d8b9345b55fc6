"""The hub of JupyterHub without its proxy, on the port PORT, with a SQLite file in the current directory."""
import os

from jupyterhub.proxy import Proxy


class NoProxy(Proxy):
    should_start = False

    async def add_route(self, routespec, target, data):
        pass

    async def delete_route(self, routespec):
        pass

    async def get_all_routes(self):
        return {}


c = get_config()  # noqa: F821, jupyterhub defines it
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{os.environ['PORT']}/hub"
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.cookie_secret = b"a secret for measuring, 32 bytes"
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allowed_users = {"measured"}
c.JupyterHub.services = [{"name": "load", "api_token": os.environ["API_TOKEN"]}]
c.JupyterHub.load_roles = [{"name": "load", "scopes": ["admin:users", "tokens"], "services": ["load"]}]
