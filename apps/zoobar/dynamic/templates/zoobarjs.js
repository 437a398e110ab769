var myZoobars = {{zoobars:int}};
var place = document.getElementById("myZoobars");
if (place) {
    place.textContent = myZoobars;
}
