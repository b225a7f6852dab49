from django.http import HttpResponse
from django.views.decorators.csrf import csrf_exempt

from .models import Visit


@csrf_exempt
def index(request):
    if request.method == "POST":
        Visit.objects.create(name=request.POST["name"])
    names = Visit.objects.order_by("id").values_list("name", flat=True)
    return HttpResponse("".join(f"{name} was here\n" for name in names), content_type="text/plain")
